# SPDX-License-Identifier: Apache-2.0
"""``finding``: the findings of the last audit, and waivers."""

from __future__ import annotations

import argparse

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.catalogue import check_named, repairs_of
from stackmend.cli.options import until
from stackmend.model.errors import Exit
from stackmend.model.finding import State


class FindingList(Printing):
    """List the findings of the last audit, without querying the databases again."""

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
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "fingerprint",
            metavar="FINGERPRINT",
            help="its fingerprint, as 'audit' prints it; a unique prefix is enough",
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        from stackmend.app import findings
        from stackmend.report import findings as shown

        finding = findings.show(self.config(), parsed_args.fingerprint)
        self.show(shown.finding(finding), parsed_args)
        self.notes.next(self.typed("check", "show", finding.check))
        if finding.state is State.CONFIRMED and repairs_of(check_named(finding.check)):
            one = ("--finding", finding.fingerprint)
            self.notes.next(self.typed("plan", "create", *one, "--allow-db", "--out", "plan.json"))
        if server := finding.evidence.get("server"):
            self.notes.next(self.typed("server", "where", str(server)))
        return int(Exit.CLEAN)


class FindingWaive(Printing):
    """Accept a finding for a while: it is listed as waived, does not cause exit code 3, and is not planned.

    Name its fingerprint, or --check for all findings of that check (with --resource: on one object only). The finding
    is reported again when the waiver expires.
    """

    examples = """
  $ stackmend finding waive 1f0c2b6a9e3d4c58 --reason "moved by hand tonight, ticket 4711" --until 3d
  $ stackmend finding waive --check preserve-on-delete-wrong --resource 0f5c... --reason "as requested" --until never
  $ stackmend finding waivers"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "fingerprint", metavar="FINGERPRINT", nargs="?", default="", help="its fingerprint, as 'audit' prints it"
        )
        parser.add_argument("--check", metavar="NAME", default="", help="accept all findings of this check")
        parser.add_argument("--resource", metavar="ID", default="", help="with --check: only on this object")
        parser.add_argument("--reason", metavar="TEXT", required=True, help="why the findings are accepted")
        parser.add_argument(
            "--until",
            metavar="WHEN",
            type=until,
            default="30d",
            help="when it expires: days from now (30d), a date, or never (default: 30d)",
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Record it and print it."""
        from stackmend.app import findings
        from stackmend.report import waivers as shown

        waiver = findings.waive(
            self.config(),
            reason=parsed_args.reason,
            fingerprint=parsed_args.fingerprint,
            check=parsed_args.check,
            resource=parsed_args.resource,
            expires=parsed_args.until,
        )
        self.show(shown.waiver(waiver), parsed_args)
        self.notes.next(self.typed("finding", "unwaive", waiver.id))
        return int(Exit.CLEAN)


class FindingWaivers(Printing):
    """List the waivers, including expired ones."""

    examples = """
  $ stackmend finding waivers
  $ stackmend finding waivers -f value -c id -c expires"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.app import findings
        from stackmend.report import waivers as shown

        self.show(shown.waivers(findings.waivers(self.config())), parsed_args)
        return int(Exit.CLEAN)


class FindingUnwaive(Printing):
    """Remove a waiver: its findings count again."""

    examples = """
  $ stackmend finding unwaive 3fa1b2c4"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "waiver",
            metavar="ID",
            help="its ID, as 'stackmend finding waivers' prints it, or the fingerprint of the finding; a"
            " unique prefix is enough",
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Remove it, and print the remaining ones."""
        from stackmend.app import findings
        from stackmend.report import waivers as shown

        config = self.config()
        findings.unwaive(config, parsed_args.waiver)
        self.show(shown.waivers(findings.waivers(config)), parsed_args)
        return int(Exit.CLEAN)


COMMANDS = {
    "finding list": FindingList,
    "finding show": FindingShow,
    "finding waive": FindingWaive,
    "finding waivers": FindingWaivers,
    "finding unwaive": FindingUnwaive,
}
