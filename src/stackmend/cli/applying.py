# SPDX-License-Identifier: Apache-2.0
"""Consent, apply, and the summary: shared by ``plan apply`` and the operator's requests."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackmend.cli.signals import stopping
from stackmend.cli.streams import discard_output, failure
from stackmend.model.errors import ConsentError, OutputError, UsageError
from stackmend.model.step import RowStep, writes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stackmend.app.runs import RunObserver
    from stackmend.cli.base import Printing
    from stackmend.config.settings import Config
    from stackmend.model.journal import RunResult
    from stackmend.model.plan import Plan
    from stackmend.model.protocols import Progress
    from stackmend.report.document import Document


def finish(
    command: Printing, plan: Plan, parsed_args: argparse.Namespace, again: tuple[str, ...], *, filed: bool = False
) -> int:
    """Apply ``plan`` if ``--yes`` was given; ``again`` is the command line to repeat with consent.

    Unsafe repairs that were not accepted by name are skipped (exit 5); ConsentError (exit 2) if nothing would be left,
    for any unsafe step of a workflow, and without ``--yes``.

    ``filed``: it was read from a file.
    """
    from stackmend.app import runs

    only = tuple(getattr(parsed_args, "only", ()))
    chosen = plan.only(only) if only else plan
    left = chosen.unconsented(_known(plan, parsed_args.accept))
    missing = sorted({action.repair for action in left})
    consent = [word for name in missing for word in ("--accept", name)]
    given = [word for name in parsed_args.accept for word in ("--accept", name)]
    some = ["--only", ",".join(only)] if only else []
    line = command.typed(*again, "--yes", *some, *given, *consent)
    if not parsed_args.yes:
        raise ConsentError("nothing was changed: --yes is missing", f"Read the plan, then: {line}")
    if missing and (plan.workflow or len(left) == len(chosen.runnable)):
        raise ConsentError(
            f"nothing was changed: {', '.join(missing)} is unsafe and requires consent by name",
            f"Read what the plan says about it, then: {line}",
        )
    config = command.config()
    writer_known(config, chosen, parsed_args, f"{line} --same-account")
    tell_reach(command, config)
    with observer(command) as (here, progress):
        accept = tuple(parsed_args.accept)
        result = runs.apply(config, plan, accept=accept, only=only, observer=here, progress=progress, filed=filed)
    code = report(command, result, parsed_args)
    if result.failed and (names := _also_by_rows(plan)):
        command.notes.say(f"if the API fails, these can also change rows with --via db --allow-db: {', '.join(names)}")
    if result.left_out:
        command.notes.say(f"skipped without consent: {', '.join(result.left_out)}")
        command.notes.next(line)
    return code


def _also_by_rows(plan: Plan) -> list[str]:
    """The repairs that were to go through the API and could go through the databases."""
    from stackmend.engine.auditing import catalogue

    known = catalogue.repairs()
    by_api = {action.repair for action in plan.runnable if action.strategy == "api"}
    return sorted(name for name in by_api if name in known and "db" in known[name].strategies)


def writer_known(config: Config, plan: Plan, parsed_args: argparse.Namespace, line: str) -> None:
    """ConsentError (exit 2) if the reading account would write without permission to do so."""
    if config.writer or config.same_account or parsed_args.same_account:
        return
    accounts = sorted({a.username for a in (*config.databases.values(), *config.cells.values()) if a.username})
    if accounts and any(isinstance(step, RowStep) and writes(step) for a in plan.runnable for step in a.steps):
        raise ConsentError(
            f"nothing was changed: the configuration has no [writer], so {' and '.join(accounts)}, meant for reading,"
            " would write",
            f"Configure a separate account under [writer], or allow this one to write: [writer] same_account = true, or"
            f" {line}",
        )


def tell_reach(command: Printing, config: Config) -> None:
    """Report who is not excluded by the lease of a run, if anybody."""
    from stackmend.app import runs

    if line := runs.reach(config):
        command.notes.say(line)


@contextmanager
def observer(command: Printing, acknowledged: Sequence[str] = ()) -> Iterator[tuple[RunObserver, Progress]]:
    """The user at this terminal: sees the progress, is asked at gates, may interrupt, and may disconnect."""
    from stackmend.app.runs import RunObserver
    from stackmend.cli.lanes import LaneProgress, ask_at_terminal

    notes = command.notes

    def troubles() -> list[str]:
        return [f"stderr could not be written: {why}" for why in (failure(notes.stream),) if why]

    with stopping(notes.say) as stop, command.watch() as progress:
        yield (
            RunObserver(tuple(acknowledged), ask_at_terminal(notes), LaneProgress(notes, progress), stop, troubles),
            progress,
        )


def report(command: Printing, result: RunResult, parsed_args: argparse.Namespace, what: str = "done") -> int:
    """Print the result of a run on stdout; on stderr, the outcome of its repairs (``what``) and the next steps."""
    from stackmend.report import runs as shown

    notes = command.notes
    _printed(command, shown.result(result), parsed_args, result.run)
    for line in shown.sentences(result, what):
        notes.say(line)
    if result.in_doubt:
        notes.warn("the outcome of a step is unknown: check it before you do anything else")
        notes.next(command.typed("run", "show", result.run), command.typed("run", "resume", result.run))
    elif result.held:
        notes.next(command.typed("run", "resume", result.run, *(w for g in result.held for w in ("--ack", g))))
    elif result.left and result.run:
        notes.next(command.typed("run", "resume", result.run))
    if result.steps and result.run and not result.in_doubt and not result.undoable:
        notes.say("none of it can be undone")
    elif result.steps and result.run and not result.in_doubt:
        notes.say(f"to undo it: {command.typed('run', 'undo', result.run, '--yes')}")
    return int(result.exit)


def _printed(command: Printing, document: Document, parsed_args: argparse.Namespace, run: str) -> None:
    """Print the result; if that fails, the run is unaffected: the failure is reported and journalled."""
    from stackmend.app import runs

    try:
        command.show(document, parsed_args)
    except (OutputError, BrokenPipeError) as problem:
        discard_output(command.stdout)
        why = problem.message if isinstance(problem, OutputError) else "stdout is closed"
        command.notes.warn(f"{why}: {command.typed('run', 'show', run)} shows the outcome of the run")
        if run:
            runs.remark(command.config(), run, f"the result could not be printed: {why}")


def _known(plan: Plan, accepted: list[str]) -> list[str]:
    """The names that consent was given to; UsageError for one that the plan does not have."""
    known = {action.repair for action in plan.actions}
    for name in accepted:
        if name != "all" and name not in known:
            raise UsageError(
                f"the plan has no repair '{name}'", f"Repairs in it: {', '.join(sorted(known)) or 'none'}."
            )
    return accepted
