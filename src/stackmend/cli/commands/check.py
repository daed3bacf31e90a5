# SPDX-License-Identifier: Apache-2.0
"""``check``: the catalogue of checks."""

from __future__ import annotations

import argparse

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.catalogue import check_named, checks_of_kind, repairs_of
from stackmend.cli.options import add_kinds
from stackmend.model.errors import Exit


class CheckList(Printing):
    """List the checks."""

    examples = """
  $ stackmend check list
  $ stackmend check list --area neutron --severity error
  $ stackmend check list -f value -c name"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_kinds(parser)
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.engine.auditing import catalogue
        from stackmend.report import pages
        from stackmend.report.document import Document

        written, areas = catalogue.pages(), catalogue.areas()
        found = checks_of_kind(parsed_args, {}).values()
        data = [pages.record(check, written[check.name], areas[check.name], repairs_of(check)) for check in found]
        self.show(Document(data=data, columns=pages.LIST), parsed_args)
        return int(Exit.CLEAN)


class CheckShow(Printing):
    """Explain a check: what is wrong, why it matters, how it comes about, how to see it by hand, how it is repaired."""

    examples = """
  $ stackmend check show allocation-orphan
  $ stackmend check show allocation-orphan --sql"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("check", metavar="NAME", help="name of the check, as in 'check list'")
        parser.add_argument("--sql", action="store_true", help="print only its SQL")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print its page."""
        from stackmend.engine.auditing import catalogue
        from stackmend.report import pages

        check = check_named(parsed_args.check)
        area = catalogue.areas()[check.name]
        document = pages.check(check, catalogue.pages()[check.name], area, repairs_of(check))
        if parsed_args.sql:
            self.stdout.write(str(document.data["sql"]) + "\n")
        elif self.for_people(parsed_args):
            pages.on_terminal(document.text, self.stdout, color=self.color)
        else:
            self.show(document, parsed_args)
        return int(Exit.CLEAN)


COMMANDS = {"check list": CheckList, "check show": CheckShow}
