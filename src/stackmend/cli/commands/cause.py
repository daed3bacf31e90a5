# SPDX-License-Identifier: Apache-2.0
"""``cause``: the catalogue of causes that a diagnosis knows."""

from __future__ import annotations

import argparse
from difflib import get_close_matches

from stackmend.cli.base import TEXT, Printing
from stackmend.model.errors import Exit, UsageError


class CauseList(Printing):
    """List the causes that 'diagnose' knows."""

    examples = """
  $ stackmend cause list
  $ stackmend cause list -f value -c name"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.engine.diagnosing import catalogue
        from stackmend.report import causes
        from stackmend.report.document import Document

        written = catalogue.pages()
        data = [causes.record(cause, written[name]) for name, cause in catalogue.causes().items()]
        self.show(Document(data=data, columns=causes.LIST), parsed_args)
        return int(Exit.CLEAN)


class CauseShow(Printing):
    """Explain a cause: what happens, how it shows, what speaks against it, what to do."""

    examples = """
  $ stackmend cause show image-content-missing"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("cause", metavar="NAME", help="name of the cause, as in 'cause list'")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print its page."""
        from stackmend.engine.diagnosing import catalogue
        from stackmend.report import causes, pages

        known = catalogue.causes()
        if parsed_args.cause not in known:
            near = get_close_matches(parsed_args.cause, list(known), 3)
            hint = f"Did you mean {', '.join(near)}?" if near else "See 'stackmend cause list'."
            raise UsageError(f"there is no cause {parsed_args.cause!r}", hint)
        document = causes.cause(known[parsed_args.cause], catalogue.pages()[parsed_args.cause])
        if self.for_people(parsed_args):
            pages.on_terminal(document.text, self.stdout, color=self.color)
        else:
            self.show(document, parsed_args)
        return int(Exit.CLEAN)


COMMANDS = {"cause list": CauseList, "cause show": CauseShow}
