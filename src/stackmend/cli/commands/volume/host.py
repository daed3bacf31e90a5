# SPDX-License-Identifier: Apache-2.0
"""``volume list``, ``volume reattach``, ``volume refresh``: volumes of the servers of a host."""

from __future__ import annotations

import argparse
import shlex

from stackmend.cli.base import Printing
from stackmend.cli.options import add_object, seconds
from stackmend.cli.request import Working
from stackmend.model.errors import Exit, UsageError


class VolumeList(Printing):
    """List the volumes of a host's servers, with device and state, according to Nova and Cinder.

    If databases are configured, Nova's block device mappings are compared as well. Differences are shown.
    """

    examples = """
  $ stackmend volume list --host c01
  $ stackmend volume list --host c01 -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "--host", required=True, help="the compute host")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them; exit code 3 if there are differences."""
        from stackmend.app.objects import volumes
        from stackmend.report.objects import volumes as shown

        found = volumes.on_host(self.config(), parsed_args.host)
        self.show(shown.pairs(found), parsed_args)
        odd = sum(bool(pair.differences) for pair in found)
        if not odd:
            return int(Exit.CLEAN)
        self.notes.say(f"{odd} of {len(found)} are inconsistent")
        self.notes.next(self.typed("audit"))
        return int(Exit.FINDINGS)


class _PairWorking(Working):
    """A workflow about one volume of one server."""

    parallel = 1

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "volume", "volume", help="the volume, by name or id")
        add_object(parser, "server", "--server", required=True, help="the server it is attached to")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server and the volume."""
        return {"volume": parsed_args.volume, "server": parsed_args.server}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The server and the volume."""
        return ["--server", parsed_args.server, parsed_args.volume]


class VolumeReattach(_PairWorking):
    """Detach a volume and attach it again with the same options; wait for a guest that is booting.

    Unmount it in the guest first. By default, waits until the console shows a login prompt.
    """

    workflow = "reattach-volume"
    examples = """
  $ stackmend volume reattach --server 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10
  $ stackmend volume reattach --server web-1 --guest-probe 'guest-is-up {server}' data-1 --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        group = parser.add_mutually_exclusive_group()
        group.add_argument(
            "--guest-probe",
            metavar="COMMAND",
            help="program to run locally until it exits with 0, when the guest is ready; {server} is the"
            " UUID (default: wait for a login prompt)",
        )
        group.add_argument("--no-wait", action="store_true", help="do not wait for the guest")
        parser.add_argument(
            "--timeout",
            type=seconds,
            default=900.0,
            metavar="SECONDS",
            help="how long to wait for the guest (default: 900)",
        )
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server, the volume, and how to wait for the guest."""
        return super().target(parsed_args) | {
            "guest": "none" if parsed_args.no_wait else "login",
            "probe": self._probe(parsed_args),
            "limit": parsed_args.timeout,
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The arguments to type again."""
        words = ["--guest-probe", parsed_args.guest_probe] if parsed_args.guest_probe else []
        words += ["--no-wait"] if parsed_args.no_wait else []
        words += ["--timeout", f"{parsed_args.timeout:g}"] if parsed_args.timeout != 900 else []
        return words + super().words(parsed_args)

    def _probe(self, parsed_args: argparse.Namespace) -> tuple[str, ...]:
        try:
            return tuple(shlex.split(parsed_args.guest_probe or ""))
        except ValueError as problem:
            raise UsageError(f"--guest-probe cannot be read: {problem}", "Write it as for a shell.") from None


class VolumeRefresh(_PairWorking):
    """Renew the connection of a volume without detaching it: the server is stopped and started again.

    For a back end that has moved, or an attachment that names another host. It needs access to the hosts ([hosts]).
    """

    workflow = "refresh-volume"
    examples = """
  $ stackmend volume refresh --server 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10
  $ stackmend volume refresh --server web-1 --manage-on control1 data-1 --yes --accept refresh-volume"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--manage-on",
            metavar="HOST",
            help="host whose nova-manage can reach Nova's databases (default: the server's host)",
        )
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server, the volume, and the host that runs the command."""
        return super().target(parsed_args) | {"manage": parsed_args.manage_on or ""}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The arguments to type again."""
        words = ["--manage-on", parsed_args.manage_on] if parsed_args.manage_on else []
        return words + super().words(parsed_args)


COMMANDS = {"volume list": VolumeList, "volume reattach": VolumeReattach, "volume refresh": VolumeRefresh}
