# SPDX-License-Identifier: Apache-2.0
"""What the runner asks of those who touch the world: groups of row steps in, verdicts out."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from stackmend.model.journal import Entry
from stackmend.model.step import RowStep, StepState


@dataclass(frozen=True, slots=True)
class Group:
    """Row steps of one action on one database that are made together or not at all, with their guards."""

    lane: int  #: number of the action in the run
    database: str
    steps: tuple[RowStep, ...]
    numbers: tuple[int, ...]  #: of the steps in the run


class GroupResult(NamedTuple):
    """What became of a group. ``entries`` are the outcomes of its steps, for the journal."""

    state: StepState  #: DONE, STALE, FAILED, or IN_DOUBT (the connection broke in the commit and the rows do not tell)
    note: str
    entries: list[Entry]
    #: of DONE: why the run has to take it back at once: a guard in another database no longer held after the commit
    regret: str = ""


#: Called with the intents of a transaction while its rows are locked; nothing is written unless it returns.
Intent = Callable[[list[Entry]], None]


class StepResult(NamedTuple):
    """What became of a step that is not about a row."""

    state: StepState  #: DONE, STALE, FAILED, IN_DOUBT, or HELD (it waits for a human)
    note: str = ""  #: for the journal: the ids of its requests, why it failed
    already: bool = False  #: nothing was left to do: it is not ours, and undo leaves it
    sent: bool = False  #: of a failure: a service may have taken it, and what it came to may still change


@dataclass(frozen=True, slots=True)
class Pending:
    """A step that was begun and is not over."""

    at: datetime  #: when to look again; UTC
    told: str  #: how far it is, for whoever watches
    state: Any  #: the executor's own


def mark_of(run: str, step: int) -> str:
    """How the requests of a step are known in the services' logs: the same for each try of the same step."""
    return f"req-{uuid.uuid5(uuid.NAMESPACE_URL, f'stackmend:{run}:{step}')}"
