# SPDX-License-Identifier: Apache-2.0
"""``server recreate``: build a server again with its addresses."""

from __future__ import annotations

import argparse

from stackmend.cli.options import add_object
from stackmend.cli.request import Working
from stackmend.model.errors import Exit, UsageError


class ServerRecreate(Working):
    """Delete a server and create it again on the same ports, with the same IP and MAC addresses.

    The plan lists what cannot be kept, marked LOST, before anything is done. Ports and disks stay whatever fails: the
    ports are removed from the server before it is deleted, volumes are not deleted with it, and a root disk that is no
    volume is saved as an image. By default the new server boots from the same image with a new disk, or from the same
    volume.
    """

    workflow = "recreate-server"
    parallel = 1
    examples = """
  $ stackmend server recreate web-1 --keep-ports
  $ stackmend server recreate web-1 --keep-ports --from-snapshot --yes --accept recreate-server
  $ stackmend server recreate web-1 --keep-ports --volume 0b6f6a2e-3f0e-4b43-9d6f-5a1f4f1f8a11 --out plan.json
  $ stackmend server recreate --go-on 20261129-103453-2be1 --yes --accept recreate-server    # a build had failed"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "server", "server", nargs="?", help="the server, by name or id")
        parser.add_argument("--keep-ports", action="store_true", help="required: create it again on the same ports")
        group = parser.add_mutually_exclusive_group()
        group.add_argument(
            "--from-snapshot", action="store_true", help="boot from a snapshot image of the old root disk"
        )
        add_object(group, "volume", "--volume", help="boot from this volume, which must be available and bootable")
        group.add_argument(
            "--go-on", metavar="RUN", help="create the server from the ports and disks that this earlier run kept"
        )
        parser.add_argument("--flavor", metavar="FLAVOR", help="flavor of the new server (default: the same)")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server and its boot source, or the run to continue."""
        if parsed_args.go_on:
            if parsed_args.server or parsed_args.flavor:
                raise UsageError("--go-on takes server and flavor from its run", "Leave them out.")
            from stackmend.app.objects import servers

            definition = servers.recreated_by(self.config(), parsed_args.go_on)
            return {"server": definition["server"], "definition": definition}
        if not parsed_args.server:
            raise UsageError("there is no server named", "Name a server, or a run by --go-on.")
        if not parsed_args.keep_ports:
            raise UsageError(
                "--keep-ports is missing: a server is created again on its own ports only",
                f"Without them: 'openstack server delete {parsed_args.server}', then 'openstack server create'.",
            )
        return {
            "server": parsed_args.server,
            "volume": parsed_args.volume or "",
            "from_snapshot": parsed_args.from_snapshot,
            "flavor": parsed_args.flavor or "",
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The arguments to type again."""
        if parsed_args.go_on:
            return ["--go-on", parsed_args.go_on]
        words = [parsed_args.server, "--keep-ports"]
        words += ["--from-snapshot"] if parsed_args.from_snapshot else []
        for name in ("volume", "flavor"):
            words += [f"--{name}", getattr(parsed_args, name)] if getattr(parsed_args, name) else []
        return words

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Plan or do it; if it stopped after the deletion, report how to continue."""
        code = super().take_action(parsed_args)
        if parsed_args.yes and code == Exit.STOPPED:
            from stackmend.app.objects import servers

            run, made = servers.stopped_between(self.config())
            if run and made:
                self.notes.say("the new server is there and does not serve yet: see why, then have it verified")
                self.notes.next(self.typed("run", "resume", run))
            elif run:
                self.notes.say("the old server is deleted; its ports and disks are kept for the new one")
                self.notes.next(self.typed("server", "recreate", "--go-on", run))
        return code


COMMANDS = {"server recreate": ServerRecreate}
