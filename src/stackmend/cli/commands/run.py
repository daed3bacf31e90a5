# SPDX-License-Identifier: Apache-2.0
"""``run``: show, resume and undo runs."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stackmend.cli.applying import observer, report, tell_reach
from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import positive, since
from stackmend.cli.showing import add_showing, parts, view_of
from stackmend.model import files
from stackmend.model.errors import ConsentError, Exit, UsageError
from stackmend.model.journal import RunState
from stackmend.model.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from stackmend.report.sheets import Sheet


class RunList(Printing):
    """List the runs in the journal, newest first.

    A run that has not ended and whose process no longer exists is "cut off": 'run resume' continues it.
    """

    examples = """
  $ stackmend run list
  $ stackmend run list --state "cut off" --state "in doubt"
  $ stackmend run list --since 7d --kind undo --limit 20
  $ stackmend run list -f value -c id"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("--limit", type=positive, metavar="N", help="only the newest N runs")
        parser.add_argument(
            "--state",
            action="append",
            default=[],
            choices=[state.value for state in RunState],
            help="only runs in this state; may be repeated",
        )
        parser.add_argument("--kind", choices=("apply", "undo"), default="", help="only runs of this kind")
        parser.add_argument("--since", type=since, metavar="TIME", help="only runs started since then: 7d, or a time")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.app import runs
        from stackmend.report import runs as shown

        asked = {"states": tuple(parsed_args.state), "kind": parsed_args.kind, "since": parsed_args.since or ""}
        found = runs.list_runs(self.config(), limit=parsed_args.limit, **asked)
        self.show(shown.runs(found), parsed_args)
        if not found:
            self.notes.say("no such runs" if any(asked.values()) else "no runs yet")
        return int(Exit.CLEAN)


class _OneRun(Printing):
    """A command about one run."""

    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("run", metavar="ID", help="ID of the run, as in 'run list'")
        super().add_arguments(parser)


class RunShow(_OneRun):
    """Show a run: the outcome of each repair and step, its time, and its request ids.

    --report writes the same, with every statement, to one file to attach to a ticket: HTML or Markdown, depending on
    its extension; Markdown on standard output for "-". It contains names and addresses of the cloud, but no secrets.
    """

    examples = """
  $ stackmend run show 20261121-031502-7f3a
  $ stackmend run show 20261121-031502-7f3a --action a18 --sql
  $ stackmend run show 20261121-031502-7f3a --report run.html"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_showing(parser)
        parser.add_argument("--report", metavar="FILE", help="write a report to this file (.html, .md; - is stdout)")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it, or write the report."""
        from stackmend.app import runs
        from stackmend.report import runs as shown
        from stackmend.report.sheets import JournalledRun

        make = self._form(parsed_args.report) if parsed_args.report else None
        config = self.config()
        run, actions, entries, remarks = runs.show_run(config, parsed_args.run)
        # whatever a note contains: anything that looks like a password is hidden
        happened = JournalledRun(
            run=run,
            actions=tuple(actions),
            entries=tuple(entry._replace(note=redact(entry.note)) for entry in entries),
            remarks=tuple(remark._replace(text=redact(remark.text)) for remark in remarks),
        )
        view = view_of(self, None if parsed_args.no_names else config, actions, sql=parsed_args.sql)
        some = (tuple(parsed_args.action), tuple(parsed_args.repair))
        if make is None:
            self.show(shown.run(happened, view, *some), parsed_args)
            return int(Exit.CLEAN)
        literal = shown.ticket_document(happened, replace(view, sql=True), *some)
        self._written(
            parsed_args.report, make(shown.ticket_document(happened, replace(view, sql=False), *some), literal)
        )
        return int(Exit.CLEAN)

    def _form(self, name: str) -> Callable[[Sheet, Sheet], str]:
        """The writer of a report with that name; UsageError for an unknown extension."""
        from stackmend.report import attachments

        ending = Path(name).suffix.lower()
        form = attachments.FORMS.get(".md" if name == "-" else ending)
        if form is None:
            raise UsageError(
                f"{name} is not a report format", f"The name must end in {' or '.join(attachments.FORMS)}."
            )
        return form

    def _written(self, name: str, text: str) -> None:
        """Write the report."""
        if name == "-":
            self.stdout.write(text)
            self.stdout.flush()
            return
        try:
            files.write(name, text)
        except files.Refused as problem:
            raise UsageError(f"the report {name} {problem}", "Choose another path for --report.") from None
        self.notes.say(f"the report is in {name}")


class RunResume(_OneRun):
    """Continue a run that was cut off.

    Steps in doubt are probed, never repeated blindly. Exit codes are those of 'plan apply'.
    """

    examples = """
  $ stackmend run resume 20261121-031502-7f3a
  $ stackmend run resume 20261121-031502-7f3a --ack disabled"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--ack",
            action="append",
            default=[],
            metavar="GATE",
            help="acknowledge this gate; may be repeated",
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Resume it and print the result."""
        from stackmend.app import runs

        config = self.config()
        tell_reach(self, config)
        with observer(self, parsed_args.ack) as (here, progress):
            result = runs.resume(config, parsed_args.run, observer=here, progress=progress)
        return report(self, result, parsed_args)


class RunUndo(_OneRun):
    """Undo a run: restore every row that still matches what the run wrote.

    Without --yes, shows the plan and changes nothing: what would be restored, what has changed since and would be left
    alone, and what cannot be undone. Exit code 0: everything was undone, 5: a row has changed since and was left alone;
    with --dry-run, 3: there is something to undo, 0: there is nothing.
    """

    examples = """
  $ stackmend run undo 20261121-031502-7f3a --dry-run
  $ stackmend run undo 20261121-031502-7f3a --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        group = parser.add_mutually_exclusive_group()
        group.add_argument("-y", "--yes", action="store_true", help="undo it; without it nothing is changed")
        group.add_argument("--dry-run", action="store_true", help="only show what would be undone")
        parser.add_argument("--sql", action="store_true", help="show every statement with its guards")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Undo it and print the result."""
        from stackmend.app import runs

        if not parsed_args.yes:
            return self._shown(parsed_args)
        config = self.config()
        tell_reach(self, config)
        with observer(self) as (here, progress):
            result = runs.undo(config, parsed_args.run, observer=here, progress=progress)
        return report(self, result, parsed_args, "undone")

    def _shown(self, parsed_args: argparse.Namespace) -> int:
        """Show the plan; ConsentError unless only that was requested."""
        from stackmend.app import runs
        from stackmend.report import plans as shown

        config = self.config()
        plan, moved = runs.undo_plan(config, parsed_args.run)
        self.show(shown.plan(plan, view_of(self, config, parts(plan), sql=parsed_args.sql)), parsed_args)
        for line in moved:
            self.notes.warn(line)
        if not plan.actions:
            self.notes.say("there is nothing to undo")
            return int(Exit.CLEAN)
        line = self.typed("run", "undo", parsed_args.run, "--yes")
        if not parsed_args.dry_run:
            raise ConsentError("nothing was changed: --yes is missing", f"Read the plan, then: {line}")
        self.notes.next(line)
        return int(Exit.FINDINGS)


COMMANDS = {"run list": RunList, "run show": RunShow, "run resume": RunResume, "run undo": RunUndo}
