# SPDX-License-Identifier: Apache-2.0
"""``repair``: the catalogue of repairs."""

from __future__ import annotations

import argparse

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.catalogue import repair_named
from stackmend.model.errors import Exit


class RepairList(Printing):
    """List the repairs and what each may lose."""

    examples = """
  $ stackmend repair list
  $ stackmend repair list -f value -c name -c risk"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.engine.auditing import catalogue
        from stackmend.report import pages
        from stackmend.report.document import Document

        written = catalogue.pages()
        data = [pages.repair_record(repair, written[name]) for name, repair in catalogue.repairs().items()]
        self.show(Document(data=data, columns=pages.REPAIRS), parsed_args)
        return int(Exit.CLEAN)


class RepairShow(Printing):
    """Explain a repair: what it does, its guards, its undo."""

    examples = """
  $ stackmend repair show delete-allocations"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("repair", metavar="NAME", help="name of the repair, as in 'repair list'")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print its page."""
        from stackmend.engine.auditing import catalogue
        from stackmend.report import pages

        repair = repair_named(parsed_args.repair)
        document = pages.repair(repair, catalogue.pages()[repair.name])
        if self.for_people(parsed_args):
            pages.on_terminal(document.text, self.stdout, color=self.color)
        else:
            self.show(document, parsed_args)
        return int(Exit.CLEAN)


COMMANDS = {"repair list": RepairList, "repair show": RepairShow}
