# SPDX-License-Identifier: Apache-2.0
"""``host salvage``: the contents of an instances directory, and what can be saved of it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackmend.cli.options import add_object
from stackmend.cli.request import Working
from stackmend.model.errors import Exit, UsageError

if TYPE_CHECKING:
    from stackmend.model.plan import Plan

#: option -> the modes that take it
_TAKEN = {
    "to": ("to",),
    "server": ("to",),
    "from_host": ("inventory", "to"),
    "to_path": ("to",),
    "from_path": ("inventory", "to"),
    "check": ("inventory",),
    "older_than": ("inventory", "orphans"),
}


class HostSalvage(Working):
    """Show the disks in a host's instances directory, copy those of a dead host, or quarantine orphans.

    --inventory only reads. --to plans the copy of local disks to another host, so that an evacuation to it finds them.
    --orphans --quarantine plans to move directories that no server owns to a separate folder. Nothing is ever deleted.
    """

    workflow = "salvage-host"
    parallel = 2
    examples = """
  $ stackmend host salvage c01 --inventory
  $ stackmend host salvage c01 --inventory --from-host rescue --from-path /mnt/var/lib/nova/instances --check
  $ stackmend host salvage c01 --to c02 --from-host rescue --from-path /mnt/var/lib/nova/instances
  $ stackmend host salvage c01 --orphans --quarantine --older-than 30"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "host", help="name of the host, as in 'openstack compute service list'")
        mode = parser.add_mutually_exclusive_group(required=True)
        mode.add_argument("--inventory", action="store_true", help="list the disks there, and their owners")
        add_object(mode, "host", "--to", help="copy the disks of its servers to this host")
        mode.add_argument(
            "--orphans", action="store_true", help="act on directories that no server owns; with --quarantine"
        )
        parser.add_argument("--quarantine", action="store_true", help="move orphaned directories into quarantine")
        add_object(parser, "server", "--server", action="append", default=[], help="only this server; may be repeated")
        parser.add_argument(
            "--from-host", metavar="HOST", help="read the disks on this host (default: the host itself)"
        )
        parser.add_argument(
            "--from-path", metavar="DIR", help="instances directory there (default: [hosts] instances_path)"
        )
        parser.add_argument(
            "--to-path", metavar="DIR", help="instances directory of the target (default: [hosts] instances_path)"
        )
        parser.add_argument("--check", action="store_true", help="run qemu-img check on every disk")
        parser.add_argument(
            "--older-than",
            type=float,
            metavar="DAYS",
            help="only orphans that have not changed for this long (default: 7)",
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Show the inventory, or make the plan; then show, write or apply that."""
        self._consistent(parsed_args)
        return self._inventory(parsed_args) if parsed_args.inventory else super().take_action(parsed_args)

    def make(self, parsed_args: argparse.Namespace) -> Plan:
        """The plan of the workflow that was asked for."""
        from stackmend.app import workflows

        return workflows.plan(
            self.config(),
            "quarantine-orphans" if parsed_args.orphans else self.workflow,
            self.target(parsed_args),
            parallel=parsed_args.parallel,
            per_slot=parsed_args.per_host or 0,
            gates=parsed_args.wait_for_ack,
        )

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The host and the options given for it."""
        if parsed_args.orphans:
            return {"host": parsed_args.host, "days": parsed_args.older_than}
        return {
            "host": parsed_args.host,
            "to": parsed_args.to,
            "servers": tuple(parsed_args.server),
            "from_host": parsed_args.from_host,
            "from_path": parsed_args.from_path,
            "to_path": parsed_args.to_path,
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The command line again."""
        words = [parsed_args.host]
        if parsed_args.orphans:
            words += ["--orphans", "--quarantine"]
        for name in ("to", "from_host", "from_path", "to_path", "older_than"):
            if (value := getattr(parsed_args, name)) is not None:
                words += [f"--{name.replace('_', '-')}", f"{value:g}" if name == "older_than" else value]
        return words + [word for server in parsed_args.server for word in ("--server", server)]

    def _consistent(self, parsed_args: argparse.Namespace) -> None:
        """UsageError for options that cannot be combined."""
        mode = "inventory" if parsed_args.inventory else "orphans" if parsed_args.orphans else "to"
        for name, modes in _TAKEN.items():
            if getattr(parsed_args, name) and mode not in modes:
                raise UsageError(
                    f"--{name.replace('_', '-')} cannot be combined with --{mode}",
                    f"It belongs to --{' and --'.join(modes)}.",
                )
        if parsed_args.orphans != parsed_args.quarantine:
            raise UsageError("--orphans and --quarantine belong together", "'--inventory' shows orphans.")
        if parsed_args.inventory and (parsed_args.yes or parsed_args.out):
            raise UsageError("an inventory has nothing to apply", "Omit --yes and --out.")

    def _inventory(self, parsed_args: argparse.Namespace) -> int:
        from stackmend.app.objects import disks
        from stackmend.report.objects import disks as shown

        found = disks.look(
            self.config(),
            parsed_args.host,
            at=parsed_args.from_host or "",
            path=parsed_args.from_path or "",
            check=parsed_args.check,
            days=parsed_args.older_than,
        )
        self.show(shown.inventory(found.inventory, found.owners, found.kept), parsed_args)
        if found.inventory.notes:
            return int(Exit.INCOMPLETE)
        bad = shown.broken(found.inventory) or any(not why for why in found.kept.values())
        return int(Exit.FINDINGS if bad else Exit.CLEAN)


COMMANDS = {"host salvage": HostSalvage}
