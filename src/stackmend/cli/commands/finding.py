# SPDX-License-Identifier: Apache-2.0
"""``finding``: what the last audit found, and what of it is accepted."""

from __future__ import annotations

import argparse

from stackmend.cli.base import Printing
from stackmend.model.errors import Exit


class FindingList(Printing):
    """List the findings of the last audit, without asking the databases again."""

    examples = """
  $ stackmend finding list
  $ stackmend finding list -f value -c fingerprint -c message"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.app import findings
        from stackmend.report import findings as shown

        found = findings.list_findings(self.config())
        self.show(shown.findings(found), parsed_args)
        return int(Exit.CLEAN)


class FindingShow(Printing):
    """Show one finding with its evidence."""

    examples = """
  $ stackmend finding show 1f0c2b6a9e3d4c58"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("fingerprint", metavar="FINGERPRINT", help="as the audit prints it; a unique start will do")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        from stackmend.app import findings
        from stackmend.report import findings as shown

        finding = findings.show(self.config(), parsed_args.fingerprint)
        self.show(shown.finding(finding), parsed_args)
        self.notes.next(self.typed("check", "show", finding.check))
        return int(Exit.CLEAN)


COMMANDS = {"finding list": FindingList, "finding show": FindingShow}
