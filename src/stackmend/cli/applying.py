# SPDX-License-Identifier: Apache-2.0
"""Consent, apply, and the words afterwards: shared by ``plan apply`` and the operator's requests."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackmend.model.errors import ConsentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stackmend.app.runs import Company
    from stackmend.cli.base import Printing
    from stackmend.model.journal import RunResult
    from stackmend.model.plan import Plan
    from stackmend.model.ports import Progress


def finish(command: Printing, plan: Plan, parsed_args: argparse.Namespace, again: tuple[str, ...]) -> int:
    """Apply ``plan`` if ``--yes`` was given; ``again`` is the command line to repeat with consent.

    ConsentError (exit 2) without ``--yes`` or without the names of the unsafe repairs in it.
    """
    from stackmend.app import runs

    missing = _missing(plan, parsed_args.accept)
    consent = [word for name in missing for word in ("--accept", name)]
    given = [word for name in parsed_args.accept for word in ("--accept", name)]
    line = command.typed(*again, "--yes", *given, *consent)
    if not parsed_args.yes:
        raise ConsentError("nothing was changed: --yes is missing", f"Read the plan, then: {line}")
    if missing:
        raise ConsentError(
            f"nothing was changed: {', '.join(missing)} may lose something and needs consent by name",
            f"Read what the plan says of it, then: {line}",
        )
    with command.watch() as progress:
        result = runs.apply(
            command.config(),
            plan,
            accept=tuple(parsed_args.accept),
            company=company(command, progress),
            progress=progress,
        )
    return report(command, result, parsed_args)


def company(command: Printing, progress: Progress, acknowledged: Sequence[str] = ()) -> Company:
    """Who sits at this terminal: sees what is under way, and is asked at gates where there is somebody to ask."""
    from stackmend.app.runs import Company
    from stackmend.cli.lanes import Told, asking

    return Company(tuple(acknowledged), asking(command.notes), Told(command.notes, progress))


def report(command: Printing, result: RunResult, parsed_args: argparse.Namespace, what: str = "done") -> int:
    """Print the result of a run on stdout; on stderr, ``what`` became of its repairs and what to do next."""
    from stackmend.report import runs as shown

    command.show(shown.result(result), parsed_args)
    notes = command.notes
    for line in shown.sentences(result, what):
        notes.say(line)
    if result.in_doubt:
        notes.warn("the outcome of a step is unknown: look at it before anything else is done")
        notes.next(command.typed("run", "show", result.run), command.typed("run", "resume", result.run))
    elif result.held:
        notes.next(command.typed("run", "resume", result.run, *(w for g in result.held for w in ("--ack", g))))
    elif result.steps and result.run:
        notes.say(f"to take it back: {command.typed('run', 'undo', result.run, '--yes')}")
    return int(result.exit)


def _missing(plan: Plan, accepted: list[str]) -> list[str]:
    known = {action.repair for action in plan.actions}
    for name in accepted:
        if name != "all" and name not in known:
            raise UsageError(
                f"the plan has no repair '{name}'", f"Repairs in it: {', '.join(sorted(known)) or 'none'}."
            )
    return [] if "all" in accepted else [name for name in plan.needs_consent if name not in accepted]
