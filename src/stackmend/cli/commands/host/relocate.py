# SPDX-License-Identifier: Apache-2.0
"""``host relocate``: move the servers of a dead host to another one by changing database rows."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackmend.cli.options import add_object
from stackmend.cli.request import Working
from stackmend.model.errors import UsageError

if TYPE_CHECKING:
    from stackmend.model.plan import Plan


class HostRelocate(Working):
    """Relocate the servers of a dead host by database: the last resort if 'openstack server evacuate' cannot work.

    The host must be down and cut off from storage and network; the destination must be in the same cell. Nova's API
    must confirm this, even with --via db. Servers that depend on their host (PCI devices, pinned CPUs, local disks)
    stay, with the reason.
    """

    workflow = "relocate-host"
    audits = True
    parallel = 1
    examples = """
  $ stackmend host relocate c01 --to c02 --allow-db --fenced
  $ stackmend host relocate c01 --to c02 --allow-db --shared --out plan.json
  $ stackmend host relocate c01 --to c02 --allow-db --server web-1 --no-boot"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "host", help="the dead host")
        add_object(parser, "host", "--to", required=True, help="the destination host")
        add_object(parser, "server", "--server", action="append", default=[], help="only this server; may be repeated")
        parser.add_argument("--allow-db", action="store_true", help="allow changes to the databases")
        parser.add_argument(
            "--via",
            choices=("auto", "db"),
            default="auto",
            help="move capacity and ports through the APIs (auto), or in the databases without starting a"
            " server (db); the state of the hosts is read from Nova's API either way (default: auto)",
        )
        parser.add_argument(
            "--fenced",
            action="store_true",
            help="assert that HOST is fenced: it runs nothing and cannot reach the storage",
        )
        parser.add_argument(
            "--shared", action="store_true", help="both hosts share the local disks of servers (NFS, RBD)"
        )
        parser.add_argument("--no-boot", action="store_true", help="leave every server stopped")
        parser.add_argument(
            "--manage-on",
            metavar="HOST",
            help="host whose nova-manage can reach Nova's databases, for the volumes (default: the destination)",
        )
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """Source, destination and options."""
        return {
            "host": parsed_args.host,
            "to": parsed_args.to,
            "servers": tuple(parsed_args.server),
            "via": parsed_args.via,
            "fenced": parsed_args.fenced,
            "shared": parsed_args.shared,
            "boot": not parsed_args.no_boot,
            "manage": parsed_args.manage_on or "",
        }

    def make(self, parsed_args: argparse.Namespace) -> Plan:
        """The plan; UsageError without consent to a change of the databases."""
        if not parsed_args.allow_db:
            raise UsageError(
                "a relocation changes the databases without the services",
                "Evacuate the host if the services can; otherwise add --allow-db to consent.",
            )
        return super().make(parsed_args)

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The arguments to type again."""
        words = [parsed_args.host, "--to", parsed_args.to, "--allow-db"]
        words += [word for server in parsed_args.server for word in ("--server", server)]
        words += ["--via", parsed_args.via] if parsed_args.via != "auto" else []
        words += ["--manage-on", parsed_args.manage_on] if parsed_args.manage_on else []
        flags = {"--fenced": parsed_args.fenced, "--shared": parsed_args.shared, "--no-boot": parsed_args.no_boot}
        return words + [flag for flag, given in flags.items() if given]


COMMANDS = {"host relocate": HostRelocate}
