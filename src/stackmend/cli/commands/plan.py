# SPDX-License-Identifier: Apache-2.0
"""``plan``: create a plan, review it, apply exactly that."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackmend.cli.applying import finish
from stackmend.cli.base import TEXT, Printing
from stackmend.cli.narrowing import limits
from stackmend.cli.options import (
    add_consent,
    add_nice,
    add_outside,
    add_selection,
    add_strategy,
    outside_asked,
    spared,
    whole,
)
from stackmend.cli.showing import add_showing, parts, view_of
from stackmend.model import files
from stackmend.model.errors import ConfigError, Exit

if TYPE_CHECKING:
    from stackmend.app.plans import Filed
    from stackmend.config.settings import Config
    from stackmend.model.plan import Plan


class PlanCreate(Printing):
    """Audit, and plan how to repair the findings; changes nothing.

    Exit code 0: nothing was found, 3: the plan has steps, or findings that cannot be repaired (it says why), 7: a
    source could not be read. The plan contains the current rows: 'plan apply' refuses rows that have changed since.
    Suspected damage that is too recent to confirm is counted, but never planned. If there is a key ('stackmend config
    key'), the file is signed.
    """

    examples = """
  $ stackmend plan create --out plan.json
  $ stackmend plan create --out plan.json --check info-cache-empty --allow-db
  $ stackmend plan create --out plan.json --check info-cache-stale-port --repair restore-port --allow-db
  $ stackmend plan create --server web-1 --allow-db
  $ stackmend plan create --finding 1f0c2b6a --allow-db --out plan.json
  $ stackmend plan create                       # only show it"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_selection(parser)
        add_strategy(parser)
        add_nice(parser)
        add_outside(parser)
        parser.add_argument(
            "--repair",
            action="append",
            default=[],
            metavar="NAME",
            help="use this repair for findings that have several; may be repeated",
        )
        parser.add_argument("--out", metavar="FILE", help="write the plan to this file, for 'plan apply'")
        parser.add_argument(
            "--max-rows", type=whole, metavar="N", help="refuse a plan that changes more rows than this"
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Make the plan, write it to a file if requested, and show it."""
        from stackmend.app import audits, plans
        from stackmend.report import findings as found
        from stackmend.report import plans as shown

        out, config, via = parsed_args.out, spared(self, self.config(), parsed_args), parsed_args.via
        checks, about = limits(self, parsed_args, config)
        with self.watch() as progress:
            report = audits.audit(
                config,
                checks=checks,
                about=about.names,
                use_api=via != "db",
                young=True,
                outside=outside_asked(parsed_args),
                progress=progress,
            )
            plan = plans.repair_plan(
                config,
                report,
                via=via,
                allow_db=parsed_args.allow_db,
                max_rows=parsed_args.max_rows,
                repairs=tuple(parsed_args.repair),
                progress=progress,
            )
        signer = plans.write(config, plan, out) if out else ""
        self.show(shown.plan(plan, view_of(self, config, parts(plan), rows=not out)), parsed_args)
        notes = self.notes
        for check, reason in sorted(plan.incomplete.items()):
            notes.warn(f"no answer from {check}: {reason}")
        notes.say(shown.headline(plan))
        for line in found.held_back(report):
            notes.say(line)
        if plan.not_repaired and not plan.actions:
            notes.say("none of the findings can be repaired this way: the plan says why")
        self._next(plan, out, signer, parsed_args.max_rows)
        if plan.incomplete:
            return int(Exit.INCOMPLETE)
        return int(Exit.FINDINGS if plan.actions or plan.not_repaired else Exit.CLEAN)

    def _next(self, plan: Plan, out: str | None, signer: str, max_rows: int | None) -> None:
        if not plan.runnable:
            return
        if not out:
            self.notes.say("the plan was not saved: add --out FILE to keep it")
            return
        more = [word for name in plan.needs_consent for word in ("--accept", name)]
        more += ["--max-rows", str(max_rows)] if max_rows is not None else []
        self.notes.say(f"the plan is in {out}{f', signed by key {signer}' if signer else ''}")
        if files.kept(out):
            self.notes.next(self.typed("plan", "show", out), self.typed("plan", "apply", out, "--yes", *more))


class _PlanFile(Printing):
    """A command about a plan file."""

    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("plan", metavar="FILE", help="a file that 'plan create --out' wrote; - is standard input")
        parser.add_argument(
            "--require-signature",
            action="store_true",
            help="accept the plan only if a trusted key has signed it ([plans])",
        )
        super().add_arguments(parser)

    def announced(self, filed: Filed) -> Plan:
        """The plan; report the key that signed it."""
        for note in filed.notes:
            self.notes.warn(note)
        if filed.signer:
            self.notes.say(f"signed by key {filed.signer}")
        return filed.plan


class PlanShow(_PlanFile):
    """Show a plan file: the old and new values of each repair, its risks, and what is not repaired and why.

    Everything shown is derived from the steps, not from other text in the file: it is what 'plan apply' would do. A new
    row is marked +, a changed one ~, a deleted one -; an API call is marked >, a command on a host $. Names of servers,
    volumes and projects are looked up in the databases, if these are configured.
    """

    examples = """
  $ stackmend plan show plan.json
  $ stackmend plan show plan.json --repair rebuild-info-cache
  $ stackmend plan show plan.json --action a18 --sql     # its statements, with their guards
  $ stackmend plan show plan.json -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_showing(parser)
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the file and print it."""
        from stackmend.app import plans
        from stackmend.report import plans as shown

        config = self._known()
        filed = plans.read(config, parsed_args.plan, signed=parsed_args.require_signature)
        plan = shown.narrowed(self.announced(filed), parsed_args.action, parsed_args.repair)
        where = None if parsed_args.no_names else config
        view = view_of(self, where, parts(plan), sql=parsed_args.sql, vouched=bool(filed.signer))
        self.show(shown.plan(plan, view), parsed_args)
        return int(Exit.CLEAN)

    def _known(self) -> Config | None:
        """The configuration; None, with a warning, if this machine has none."""
        try:
            return self.config()
        except ConfigError as problem:
            if any(self.where()):
                raise
            self.notes.warn(f"commands on hosts and signatures are not checked: {problem.message}")
            return None


class PlanApply(_PlanFile):
    """Apply a plan file row by row; a row is changed only if it still matches the plan.

    Its repairs are planned again first: a repair whose result differs from the file is stale, and is not done. Every
    step is journalled before and after; 'run undo' undoes the run. Exit code 4: repaired, 5: stopped (a row has
    changed, a limit was reached, a repair failed or was skipped without consent), 6: in doubt, a human is needed, 0:
    there was nothing to do. Unsafe repairs that no --accept names are skipped, and the others are done; if nothing is
    left, or if the plan is that of a workflow, it is refused (2).
    """

    examples = """
  $ stackmend plan apply plan.json --yes
  $ stackmend plan apply plan.json --yes --accept detach-volume
  $ stackmend plan apply plan.json --yes --only a1,a3
  $ stackmend plan apply plan.json --yes --require-signature
  $ stackmend plan apply plan.json --yes -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--only",
            type=lambda text: text.split(","),
            default=(),
            metavar="IDS",
            help="only these actions, by their IDs in the plan: a1,a3",
        )
        parser.add_argument(
            "--max-rows",
            type=whole,
            metavar="N",
            help="refuse a plan that changes more rows than this, as 'plan create' does",
        )
        add_consent(parser, "apply the plan")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Apply it and print the result."""
        from stackmend.app import plans

        path, rows = parsed_args.plan, parsed_args.max_rows
        filed = plans.read(self.config(), path, signed=parsed_args.require_signature, max_rows=rows)
        more = ["--max-rows", str(rows)] if rows is not None else []
        more += ["--require-signature"] if parsed_args.require_signature else []
        return finish(self, self.announced(filed), parsed_args, again=("plan", "apply", path, *more), filed=True)


COMMANDS = {"plan create": PlanCreate, "plan show": PlanShow, "plan apply": PlanApply}
