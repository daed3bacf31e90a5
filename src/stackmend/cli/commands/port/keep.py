# SPDX-License-Identifier: Apache-2.0
"""``port keep``, ``port release`` and ``port detach``: whether a port outlives its server."""

from __future__ import annotations

import argparse
from typing import ClassVar

from stackmend.cli.applying import observer, report, writer_known
from stackmend.cli.base import Printing
from stackmend.cli.options import add_object, seconds
from stackmend.cli.request import RequestCommand
from stackmend.model.errors import Exit


class _PortRequest(RequestCommand):
    """A request about one port."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "port", "port", help="the port, by name or id")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The port."""
        return {"port": parsed_args.port}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The port."""
        return [parsed_args.port]


class _Flipping(_PortRequest):
    """A request that writes whether a port is kept, and sees that it stays so."""

    wanted: ClassVar[bool]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        group = parser.add_mutually_exclusive_group()
        group.add_argument(
            "--wait",
            type=seconds,
            metavar="SECONDS",
            help="how long to look whether it holds (default: two intervals of Nova's healer, where that is on)",
        )
        group.add_argument("--no-wait", action="store_true", help="do not look again")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Plan or write it; after writing it, check that it persists."""
        code = super().take_action(parsed_args)
        if code != Exit.REPAIRED or parsed_args.no_wait:
            return code
        return code if held(self, parsed_args.port, self.wanted, parsed_args.wait) else int(Exit.FINDINGS)


def held(command: Printing, port: str, wanted: bool, wait: float | None = None) -> bool:
    """Check whether the value written for a port persists, and report it."""
    from stackmend.app.objects import keeping
    from stackmend.report.objects import ports as shown

    with command.watch() as progress:
        found = keeping.hold(command.config(), port, wanted, wait=wait, progress=progress)
    if found.holds:
        command.notes.say(shown.held(found))
        return True
    command.notes.warn(shown.held(found))
    command.notes.next(command.typed("port", "keep" if wanted else "release", "--allow-db", port))
    return False


class PortKeep(_Flipping):
    """Keep a port when its server is deleted: set preserve_on_delete, so that its address is not lost.

    Afterwards the cache is read again until no refresh of Nova's can be under way that has read the old value.
    """

    repair, wanted = "keep-port", True
    examples = """
  $ stackmend port keep 8a2b6d1c-0f5e-4f0b-b5ad-6a6f1a2b3c4d --allow-db --yes"""


class PortRelease(_Flipping):
    """Delete a port with its server: clear preserve_on_delete. Read again afterwards as by 'port keep'."""

    repair, wanted = "release-port", False
    examples = """
  $ stackmend port release 8a2b6d1c-0f5e-4f0b-b5ad-6a6f1a2b3c4d --allow-db --yes"""


class PortDetach(_PortRequest):
    """Take a port from its server and keep it, with its addresses.

    From a server that there is Nova takes it, from one that is gone Neutron does. A port that Nova would delete when it
    is detached is kept first, as by 'port keep', which needs --allow-db; --delete asks for its end.
    """

    repair = "detach-port"
    examples = """
  $ stackmend port detach 8a2b6d1c-0f5e-4f0b-b5ad-6a6f1a2b3c4d
  $ stackmend port detach 8a2b6d1c-0f5e-4f0b-b5ad-6a6f1a2b3c4d --allow-db --yes --accept detach-port
  $ stackmend port detach 8a2b6d1c-0f5e-4f0b-b5ad-6a6f1a2b3c4d --delete"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--keep", action="store_true", help="the port outlives it (default)")
        group.add_argument("--delete", action="store_true", help="Nova deletes the port: its addresses are lost")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Plan or do it. Without ``--delete``, a port that Nova would delete is kept first."""
        agreed = parsed_args.yes and parsed_args.allow_db and {self.repair, "all"} & {*parsed_args.accept}
        code = Exit.CLEAN if parsed_args.delete or not agreed else self._kept(parsed_args)
        return super().take_action(parsed_args) if code == Exit.CLEAN else int(code)

    def _kept(self, parsed_args: argparse.Namespace) -> Exit:
        """Keep the port, as a separate run; CLEAN if it is kept already, or if that does not apply."""
        from stackmend.app import plans, runs

        config = self.config()
        plan = plans.request(config, PortKeep.repair, {"port": parsed_args.port}, allow_db=True)
        if not plan.runnable:
            return Exit.CLEAN
        line = self.typed(*self._again(parsed_args), "--yes", "--accept", self.repair)
        writer_known(config, plan, parsed_args, f"{line} --same-account")
        with observer(self) as (here, progress):
            result = runs.apply(config, plan, observer=here, progress=progress)
        if result.exit is not Exit.REPAIRED:
            return Exit(report(self, result, parsed_args))
        self.notes.say(f"port {parsed_args.port} was to be deleted with its NIC, and is kept now: run {result.run}")
        return Exit.CLEAN if held(self, parsed_args.port, wanted=True) else Exit.STOPPED

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The port, and whether to delete it."""
        return super().target(parsed_args) | ({"delete": True} if parsed_args.delete else {})

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The port, and whether to delete it."""
        return super().words(parsed_args) + (["--delete"] if parsed_args.delete else [])


COMMANDS = {"port keep": PortKeep, "port release": PortRelease, "port detach": PortDetach}
