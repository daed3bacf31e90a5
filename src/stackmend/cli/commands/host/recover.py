# SPDX-License-Identifier: Apache-2.0
"""``host recover``: start the servers of a host after it was restarted."""

from __future__ import annotations

import argparse

from stackmend.cli.options import add_object
from stackmend.cli.request import Working

#: option -> argument of the workflow
_NAMING = {"first": "first", "start": "also", "leave_off": "off"}


class HostRecover(Working):
    """Start the servers that ran on a host before it was restarted, and verify that they came up.

    Nova's records show what ran, even if nova-compute has marked it stopped since. Servers that somebody stopped stay
    off. A server with a finding that makes a start destructive stays off until that is repaired.
    """

    workflow = "recover-host"
    audits = True
    parallel = 4
    examples = """
  $ stackmend host recover compute-07
  $ stackmend host recover compute-07 --since 2026-11-21T03:10:00 --first router-1 --first dns-1 --out plan.json
  $ stackmend host recover compute-07 --parallel 8 --leave-off test-4 --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "host", help="the host that was restarted")
        parser.add_argument(
            "--since",
            metavar="TIME",
            help="when the host booted, ISO 8601 in UTC (default: read from its kernel, if [hosts] is configured)",
        )
        for option, text in (
            ("--first", "start this server first; may be repeated; the others follow by stackmend:order"),
            ("--start", "also start this server, whoever stopped it; may be repeated"),
            ("--leave-off", "leave this server as it is; may be repeated"),
        ):
            parser.add_argument(option, action="append", default=[], metavar="SERVER", help=text)
        parser.add_argument("--no-console", action="store_true", help="do not check the consoles")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The arguments of the workflow."""
        return {
            "host": parsed_args.host,
            "since": parsed_args.since or "",
            **{name: getattr(parsed_args, option) for option, name in _NAMING.items()},
            "consoles": not parsed_args.no_console,
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The host, and how."""
        return [
            parsed_args.host,
            *(("--since", parsed_args.since) if parsed_args.since else ()),
            *(
                word
                for option in _NAMING
                for server in getattr(parsed_args, option)
                for word in (f"--{option.replace('_', '-')}", server)
            ),
            *(("--no-console",) if parsed_args.no_console else ()),
        ]


COMMANDS = {"host recover": HostRecover}
