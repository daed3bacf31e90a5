# SPDX-License-Identifier: Apache-2.0
"""``host``: one compute host; each procedure has its own module, such as ``drain``."""

from __future__ import annotations

import argparse

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import add_object
from stackmend.model.errors import Exit


class HostShowStatus(Printing):
    """Show one host: its services, what each source has on it, what blocks a drain, findings.

    Read-only. Anything that a source does not show is reported as not known, never as none. Exit code 0: no findings,
    3: findings, 7: something could not be read.
    """

    examples = """
  $ stackmend host status compute-07
  $ stackmend host status compute-07 --no-audit -f json"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "host", help="name of the host, as in 'openstack compute service list'")
        parser.add_argument("--no-audit", action="store_true", help="skip the checks of its servers")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        from stackmend.app.objects.host_status import status
        from stackmend.report.objects import hosts as shown

        with self.watch() as progress:
            found = status(self.config(), parsed_args.host, audited=not parsed_args.no_audit, progress=progress)
        self.show(shown.status(found, self.width), parsed_args)
        if found.unknown:
            return int(Exit.INCOMPLETE)
        return int(Exit.FINDINGS if found.findings else Exit.CLEAN)


COMMANDS = {"host status": HostShowStatus}
