# SPDX-License-Identifier: Apache-2.0
"""``image verify``: the content of every image on every node of Glance."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import positive, whole

#: commands that are named of all there would be
_HINTS = 3

if TYPE_CHECKING:
    from stackmend.app.image_verifying import Verified


class ImageVerify(Printing):
    """Read the content of every active image on every node of Glance, and compare it with what is recorded.

    Nodes are asked one by one, not through the balancer: the APIs of --endpoint, or the folders of filesystem stores of
    --store over ssh; by default those of [images] in the configuration, else what Nova's api_servers or the catalog
    name. Size and os_hash_value are compared; nothing is kept of what is read, and nothing is changed. An account with
    the role reader is enough for public images; for all of them it has to be an administrator's.

    A verification that was cut off goes on where it was. Content that is not whole is looked at again each time.

    Exit codes:
      0  every node has every image whole; that stores are not shared is told, and no more
      3  content is missing or differs, or a file belongs to no image
      7  something could not be read: not proven clean
    """

    default_format = TEXT
    examples = """
  $ stackmend image verify --endpoint http://10.0.0.11:9292 --endpoint http://10.0.0.12:9292
  $ stackmend image verify --store glance-01 --store glance-02:/srv/glance/images
  $ stackmend image verify --image fedora-42 --quick
  $ stackmend image verify --parallel 2 --rate 100 --state /var/tmp/verify.jsonl   # may be cut off
  $ stackmend image verify -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--image", action="append", default=[], metavar="IMAGE", help="only this one, by name or ID; repeatable"
        )
        parser.add_argument(
            "--endpoint", action="append", default=[], metavar="URL", help="API of a node, with its port; repeatable"
        )
        parser.add_argument(
            "--store",
            action="append",
            default=[],
            metavar="HOST[:FOLDER]",
            help="filesystem store of a node, read over ssh; repeatable (default folder: /var/lib/glance/images)",
        )
        parser.add_argument(
            "--quick", action="store_true", help="only look whether it is there and long enough; no hash"
        )
        parser.add_argument(
            "--parallel", type=positive, default=4, metavar="N", help="contents to read at a time (default: 4)"
        )
        parser.add_argument(
            "--rate", type=whole, default=0, metavar="MIB", help="MiB a second to read, in all (default: no limit)"
        )
        parser.add_argument(
            "--state", metavar="FILE", help="where to note what was read (default: a file in the state directory)"
        )
        parser.add_argument("--anew", action="store_true", help="read again what an earlier try has read")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Verify, print what was found, and say what to do."""
        from stackmend.app.image_verifying import Asked, verify
        from stackmend.report.objects import images

        asked = Asked(
            images=parsed_args.image, endpoints=parsed_args.endpoint, stores=parsed_args.store,
            quick=parsed_args.quick, parallel=parsed_args.parallel, rate=parsed_args.rate,
            state=parsed_args.state or "", anew=parsed_args.anew,
        )  # fmt: skip
        with self.watch() as progress:
            found = verify(self.config(), asked, progress)
        self.show(images.verified(found, self.width), parsed_args)
        for line in images.summary(found):
            self.notes.say(line)
        if found.balanced:
            self.notes.warn(
                "the catalog has one URL, which may be that of a balancer: content that one of its nodes lacks may"
                " not have been noticed. Name each node: --endpoint, --store, or [images]"
            )
        self._next(found)
        return int(found.exit)

    def _next(self, found: Verified) -> None:
        """The commands that copy what is missing, the first few."""
        stores = {node.name for node in found.nodes if not node.api}
        some = [one for one in found.findings if one.evidence.get("node") in stores]
        for one in some[:_HINTS]:
            if one.check != "image-content-missing" or one.evidence["node"] not in stores:
                continue
            source = next((name for name in str(one.evidence["elsewhere"]).split(", ") if name in stores), "")
            if source:
                words = ("--from", source, "--to", str(one.evidence["node"]))
                self.notes.next(self.typed("image", "copy", str(one.evidence["image"]), *words))


COMMANDS = {"image verify": ImageVerify}
