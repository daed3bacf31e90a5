# SPDX-License-Identifier: Apache-2.0
"""``image copy`` and ``image isolate``: what to do about a node of Glance that lacks content."""

from __future__ import annotations

import argparse

from stackmend.cli.options import seconds
from stackmend.cli.request import Working
from stackmend.model.errors import UsageError


class ImageCopy(Working):
    """Copy the content of an image to a store of Glance that does not have it, or has it damaged.

    With --to, the file is copied between hosts over ssh, and its hash must be the one that Glance has recorded. A
    damaged file is moved into a quarantine beside it. With --to-store, Glance copies it into another of its stores.
    """

    workflow = "copy-image"
    parallel = 2
    examples = """
  $ stackmend image copy fedora-42 --to glance-02
  $ stackmend image copy fedora-42 --from glance-01 --to glance-02:/srv/glance/images --yes
  $ stackmend image copy fedora-42 --to-store ceph --node http://10.0.0.11:9292 --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("image", metavar="IMAGE", help="the image, by name or ID")
        group = parser.add_mutually_exclusive_group(required=True)
        group.add_argument(
            "--to", action="append", default=[], metavar="HOST[:FOLDER]", help="store to copy to; repeatable"
        )
        group.add_argument("--to-store", metavar="STORE", help="one of Glance's stores, by its name in Glance")
        parser.add_argument(
            "--from", dest="source", metavar="HOST[:FOLDER]",
            help="store that has it whole (default: the first of [images] stores that has)",
        )  # fmt: skip
        parser.add_argument("--node", metavar="URL", help="with --to-store: the node that has the content")
        parser.add_argument(
            "--timeout", type=seconds, default=3600.0, metavar="SECONDS",
            help="with --to-store: time limit of the copy (default: 3600)",
        )  # fmt: skip
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The image, from where and to where."""
        if parsed_args.source and parsed_args.to_store:
            raise UsageError("--from goes with --to", "With --to-store name the node that has the content: --node.")
        if parsed_args.node and not parsed_args.to_store:
            raise UsageError("--node goes with --to-store", "With --to name the store that has the content: --from.")
        return {
            "image": parsed_args.image,
            "from": parsed_args.source or "",
            "to": parsed_args.to,
            "store": parsed_args.to_store or "",
            "node": (parsed_args.node or "").rstrip("/").removesuffix("/v2"),
            "timeout": parsed_args.timeout,
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """As it would be typed again."""
        words = [parsed_args.image, *(word for store in parsed_args.to for word in ("--to", store))]
        for option, value in (("--from", parsed_args.source), ("--to-store", parsed_args.to_store)):
            words += [option, value] if value else []
        words += ["--node", parsed_args.node] if parsed_args.node else []
        return words + (["--timeout", f"{parsed_args.timeout:g}"] if parsed_args.timeout != 3600.0 else [])


class ImageIsolate(Working):
    """Take a node of Glance out of its load balancer with the configured hook, or put it back.

    Hooks: [hooks] balancer_out, balancer_in, and balancer_status, which prints "in" or "out".
    """

    workflow = "isolate-glance"
    parallel = 1
    examples = """
  $ stackmend image isolate glance-02
  $ stackmend image isolate glance-02 --yes
  $ stackmend image isolate glance-02 --back --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("host", metavar="HOST", help="the node, by the name that the hook knows")
        parser.add_argument("--back", action="store_true", help="put it back instead")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The node."""
        return {"host": parsed_args.host, "back": parsed_args.back}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The node."""
        return [parsed_args.host, *(["--back"] if parsed_args.back else [])]


COMMANDS = {"image copy": ImageCopy, "image isolate": ImageIsolate}
