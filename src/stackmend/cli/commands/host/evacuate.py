# SPDX-License-Identifier: Apache-2.0
"""``host evacuate``: evacuate the servers of a lost host."""

from __future__ import annotations

import argparse

from stackmend.cli.options import add_object
from stackmend.cli.request import Working


class HostEvacuate(Working):
    """Evacuate the servers of a dead host, and start those that were running.

    The host must be dead: nova-compute is down, and the host is fenced, which the hook [hooks] fence proves or you
    assert with --fenced. A server whose disk is only on the dead host would be rebuilt from its image: it stays, unless
    --consent-rebuild names it. Nova chooses the destination, or --to names it.
    """

    workflow = "evacuate-host"
    audits = True
    parallel = 4
    examples = """
  $ stackmend host evacuate compute-07
  $ stackmend host evacuate compute-07 --to compute-09 --fenced --out plan.json
  $ stackmend host evacuate compute-07 --fenced --consent-rebuild web-3 --first db-1 --yes --accept evacuate-host"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "host", help="the dead host")
        add_object(parser, "host", "--to", help="evacuate to this host (default: the scheduler chooses)")
        parser.add_argument(
            "--fenced",
            action="store_true",
            help="assert that the host is fenced: it runs nothing and cannot reach the storage; the fence"
            " hook is not run",
        )
        parser.add_argument(
            "--shared", action="store_true", help="all hosts share the local disks of servers (NFS, RBD)"
        )
        parser.add_argument(
            "--consent-rebuild",
            action="append",
            default=[],
            metavar="SERVER",
            help="rebuild this server's disk from its image; its data is lost; may be repeated",
        )
        parser.add_argument(
            "--first",
            action="append",
            default=[],
            metavar="SERVER",
            help="evacuate this server first; may be repeated; the others follow by stackmend:order",
        )
        parser.add_argument("--no-start", action="store_true", help="do not start the servers that were running")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The arguments of the workflow."""
        return {
            "host": parsed_args.host,
            "to": parsed_args.to or "",
            "fenced": parsed_args.fenced,
            "shared": parsed_args.shared,
            "consent": parsed_args.consent_rebuild,
            "first": parsed_args.first,
            "start": not parsed_args.no_start,
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The host, and how."""
        return [
            parsed_args.host,
            *(("--to", parsed_args.to) if parsed_args.to else ()),
            *(("--fenced",) if parsed_args.fenced else ()),
            *(("--shared",) if parsed_args.shared else ()),
            *(word for server in parsed_args.consent_rebuild for word in ("--consent-rebuild", server)),
            *(word for server in parsed_args.first for word in ("--first", server)),
            *(("--no-start",) if parsed_args.no_start else ()),
        ]


COMMANDS = {"host evacuate": HostEvacuate}
