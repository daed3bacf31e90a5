# SPDX-License-Identifier: Apache-2.0
"""``plan``: decide what would be changed, read it, do exactly that."""

from __future__ import annotations

import argparse
from pathlib import Path

from stackmend.cli.applying import finish
from stackmend.cli.base import Printing
from stackmend.cli.catalogue import checks_named
from stackmend.cli.options import add_consent, add_selection, add_strategy
from stackmend.model.errors import Exit


class PlanCreate(Printing):
    """Audit, and write down how the findings would be mended; changes nothing.

    Exit code 0: nothing to do, 3: the plan has steps, 7: a source could not be read. The plan holds the rows as they
    are now: apply refuses any of them that has moved on.
    """

    examples = """
  $ stackmend plan create --out plan.json
  $ stackmend plan create --out plan.json --check info-cache-empty --allow-db
  $ stackmend plan create --out plan.json --check info-cache-stale-port --repair restore-port --allow-db
  $ stackmend plan create                       # only show it"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_selection(parser)
        add_strategy(parser)
        parser.add_argument(
            "--repair",
            action="append",
            default=[],
            metavar="NAME",
            help="use this repair where a finding could be mended in several ways, may be repeated",
        )
        parser.add_argument("--out", metavar="FILE", help="write the plan to this file, for 'plan apply'")
        parser.add_argument("--max-rows", type=int, metavar="N", help="refuse a plan that changes more rows")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Make the plan, write it where asked, and show it."""
        from stackmend.app import plans
        from stackmend.report import plans as shown

        out = parsed_args.out
        with self.watch() as progress:
            plan = plans.create(
                self.config(),
                checks=checks_named(parsed_args.check),
                servers=tuple(parsed_args.server),
                via=parsed_args.via,
                allow_db=parsed_args.allow_db,
                max_rows=parsed_args.max_rows,
                repairs=tuple(parsed_args.repair),
                progress=progress,
            )
        if out:
            plans.save(plan, out)
        self.show(shown.plan(plan, detail=not out), parsed_args)
        notes = self.notes
        for check, reason in sorted(plan.incomplete.items()):
            notes.warn(f"no answer from {check}: {reason}")
        notes.say(shown.headline(plan))
        self._next(plan, out)
        if plan.incomplete:
            return int(Exit.INCOMPLETE)
        return int(Exit.FINDINGS if plan.actions else Exit.CLEAN)

    def _next(self, plan: object, out: str | None) -> None:
        if not getattr(plan, "runnable", ()):
            return
        if not out:
            self.notes.say("nothing was written: add --out FILE to keep this plan")
            return
        consent = [word for name in getattr(plan, "needs_consent", ()) for word in ("--accept", name)]
        self.notes.say(f"the plan is in {Path(out)}")
        self.notes.next(self.typed("plan", "show", out), self.typed("plan", "apply", out, "--yes", *consent))


class PlanShow(Printing):
    """Show a plan file: every statement, what it risks, what is left out and why."""

    examples = """
  $ stackmend plan show plan.json
  $ stackmend plan show plan.json -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("plan", metavar="FILE", help="a file that 'plan create --out' wrote")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the file and print it."""
        from stackmend.app import plans
        from stackmend.report import plans as shown

        self.show(shown.plan(plans.load(parsed_args.plan)), parsed_args)
        return int(Exit.CLEAN)


class PlanApply(Printing):
    """Do what a plan file says, row by row, each only if it still reads as planned.

    Every step is journalled before and after; 'run undo' takes the run back. Exit code 4: repaired, 5: stopped (a row
    has moved on, a limit was reached, a repair failed, one was left out for want of consent), 6: in doubt, a human is
    needed, 0: there was nothing to do. Unsafe repairs that no --accept names are left out, the others are done; where
    nothing is left, and in the plan of a workflow, it is refused (2).
    """

    examples = """
  $ stackmend plan apply plan.json --yes
  $ stackmend plan apply plan.json --yes --accept detach-volume
  $ stackmend plan apply plan.json --yes --only a1,a3
  $ stackmend plan apply plan.json --yes -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("plan", metavar="FILE", help="a file that 'plan create --out' wrote")
        parser.add_argument(
            "--only",
            type=lambda text: text.split(","),
            default=[],
            metavar="IDS",
            help="these actions alone, by their ids in the plan: a1,a3",
        )
        add_consent(parser, "apply the plan")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Apply, print what became of it."""
        from stackmend.app import plans

        plan = plans.load(parsed_args.plan)
        return finish(self, plan, parsed_args, again=("plan", "apply", parsed_args.plan))


COMMANDS = {"plan create": PlanCreate, "plan show": PlanShow, "plan apply": PlanApply}
