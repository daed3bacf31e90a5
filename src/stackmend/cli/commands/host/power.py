# SPDX-License-Identifier: Apache-2.0
"""``host power``: off, on, restart, with the operator's hooks."""

from __future__ import annotations

import argparse

from stackmend.cli.options import add_object, seconds
from stackmend.cli.request import Working


class HostPower(Working):
    """Power a host off or on, or restart it, with the configured hooks, and wait until it is fully back.

    Back means: a different boot id, its file systems mounted as before, nova-compute and the agents alive. A host with
    running servers is left alone, unless --with-servers is given.
    """

    workflow = "power-host"
    examples = """
  $ stackmend host power compute-07 reboot
  $ stackmend host power compute-07 off --yes --accept power-host"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "host", help="name of the host, as in 'openstack compute service list'")
        parser.add_argument("action", choices=("off", "on", "reboot"), help="what to do")
        parser.add_argument("--with-servers", action="store_true", help="proceed even if servers run there")
        parser.add_argument(
            "--timeout",
            type=seconds,
            default=1800.0,
            metavar="SECONDS",
            help="time limit for the host to be off, or back (default: 1800)",
        )
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The host and the action."""
        return {
            "host": parsed_args.host,
            "action": parsed_args.action,
            "with_servers": parsed_args.with_servers,
            "timeout": parsed_args.timeout,
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The host and the action."""
        allowed = ["--with-servers"] if parsed_args.with_servers else []
        limit = ["--timeout", f"{parsed_args.timeout:g}"] if parsed_args.timeout != 1800.0 else []
        return [parsed_args.host, parsed_args.action, *allowed, *limit]


COMMANDS = {"host power": HostPower}
