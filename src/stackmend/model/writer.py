# SPDX-License-Identifier: Apache-2.0
"""What the runner asks of drivers that change something: groups of row steps in, results out."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from stackmend.model.journal import JournalEntry
from stackmend.model.step import RowStep, StepState


@dataclass(frozen=True, slots=True)
class Group:
    """Row steps of one action on one database that are executed together or not at all, with their guards."""

    lane: int  #: number of the action in the run
    database: str
    steps: tuple[RowStep, ...]
    numbers: tuple[int, ...]  #: of the steps in the run


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
