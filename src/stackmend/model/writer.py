# SPDX-License-Identifier: Apache-2.0
"""What the runner asks of drivers that change something: groups of row steps in, results out."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from stackmend.model.journal import JournalEntry
from stackmend.model.step import BumpRow, RowStep, StepState


@dataclass(frozen=True, slots=True)
class Group:
    """Row steps of one action on one database that are executed together or not at all, with their guards."""

    lane: int  #: number of the action in the run
    database: str
    steps: tuple[RowStep, ...]
    numbers: tuple[int, ...]  #: of the steps in the run


def counted(groups: Iterable[Group], images: Mapping[int, Mapping[str, Any] | None]) -> dict[int, int]:
    """Step -> the value that it left in its counter, if the transaction of these groups was committed.

    ``images``: of the intents, with the value that each found. An undo subtracts what nobody has counted on since, and
    else counts on itself.
    """
    ours: dict[tuple[object, ...], int] = {}
    found = {}
    for step, number in ((s, n) for group in groups for s, n in zip(group.steps, group.numbers, strict=True)):
        value = (images.get(number) or {}).get("value")
        if isinstance(step, BumpRow) and isinstance(value, int):
            spot = (step.database, step.table, tuple(sorted(step.pk.items())), step.column)
            is_taken_back = step.left is not None and value == ours.get(spot, step.left)
            found[number] = ours[spot] = value + (-step.by if is_taken_back else step.by)
    return found


class GroupResult(NamedTuple):
    """The result of a group. ``entries`` are the outcomes of its steps, for the journal."""

    #: DONE, STALE, FAILED, or IN_DOUBT (the connection broke in the commit and the rows do not decide)
    state: StepState
    note: str
    entries: list[JournalEntry]
    #: of DONE: why the run must revert it at once: a guard in another database no longer held after the commit
    regret: str = ""


#: Called with the intents of a transaction while its rows are locked; nothing is written unless it returns.
Intent = Callable[[list[JournalEntry]], None]


class StepResult(NamedTuple):
    """The result of a step other than a row step."""

    state: StepState  #: DONE, STALE, FAILED, IN_DOUBT, or HELD (it waits for a human)
    note: str = ""  #: for the journal: the ids of its requests, or why it failed
    already: bool = False  #: nothing was left to do: it is not ours, and undo leaves it alone
    sent: bool = False  #: of a failure: a service may have accepted it, and the outcome may still change


@dataclass(frozen=True, slots=True)
class Pending:
    """A step that was begun and has not ended."""

    at: datetime  #: when to check again; UTC
    progress: str  #: progress, for display
    state: Any  #: internal to the executor


def mark_of(run: str, step: int) -> str:
    """The request id of a step in the services' logs: the same for each attempt of the same step."""
    return f"req-{uuid.uuid5(uuid.NAMESPACE_URL, f'stackmend:{run}:{step}')}"
