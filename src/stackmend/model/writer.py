# SPDX-License-Identifier: Apache-2.0
"""What the runner asks of those who touch the world: groups of row steps in, verdicts out."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from stackmend.model.journal import Entry
from stackmend.model.step import CallStep, RowStep, StepState


@dataclass(frozen=True, slots=True)
class Group:
    """Row steps of one action on one database that are made together or not at all, with their guards."""

    lane: int  #: number of the action in the run
    database: str
    steps: tuple[RowStep, ...]
    numbers: tuple[int, ...]  #: of the steps in the run


class Verdict(NamedTuple):
    """What became of a group. ``entries`` are the outcomes of its steps, for the journal."""

    state: StepState  #: DONE, STALE, FAILED, or IN_DOUBT (the connection broke in the commit and the rows do not tell)
    note: str
    entries: list[Entry]
    #: of DONE: why the run has to take it back at once: a guard in another database no longer held after the commit
    regret: str = ""


#: Called with the intents of a transaction while its rows are locked; nothing is written unless it returns.
Intent = Callable[[list[Entry]], None]


class Writer(Protocol):
    """Makes row steps."""

    def write(self, groups: Sequence[Group], intent: Intent) -> list[Verdict]:
        """Make these groups of one database in one transaction, each one only if its rows are as it expects.

        Verdicts are in the order of the groups. JournalError from ``intent`` passes through, after a rollback.
        """
        ...

    def probe(self, groups: Sequence[Group], images: Mapping[int, Mapping[str, Any]]) -> list[Verdict]:
        """Look whether groups of one database, begun in one transaction, are done; nothing is written.

        ``images`` are those of their intents, by step number; {} when they were never begun. States: DONE (with the
        outcomes of the steps), PLANNED (nothing of it is done) or IN_DOUBT. Raises SourceError when unreadable.
        """
        ...

    def second_look(self, groups: Sequence[Group]) -> list[str]:
        """For each group that was committed, of one database, why it has to be taken back, or "".

        What it expects of other databases is looked at once more; where that cannot be read it is taken back, too.
        """
        ...

    def differences(self, groups: Sequence[Group]) -> list[str]:
        """A sentence for each row that does not read as these groups of one database, all done, have left it.

        What an update guards counts, too. Counters do not. Raises SourceError when unreadable.
        """
        ...

    def close(self) -> None: ...


class Outcome(NamedTuple):
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


class Executor(Protocol):
    """Does one kind of step that is not about a row: API calls, commands on hosts, gates. It never sleeps for long."""

    def begin(self, step: CallStep, mark: str) -> Outcome | Pending:
        """Begin it. ``mark`` names this step of this run, and is in the journal before. StackmendError is a failure.

        A step that is under way already, begun by whoever it was, is waited for.
        """
        ...

    def go_on(self, pending: Pending) -> Outcome | Pending:
        """Look at a step that was begun."""
        ...

    def probe(self, step: CallStep) -> StepState:
        """From live state: PLANNED (to do), INTENT (under way), DONE or FAILED; IN_DOUBT where it cannot tell."""
        ...


def mark_of(run: str, step: int) -> str:
    """How the requests of a step are known in the services' logs: the same for each try of the same step."""
    return f"req-{uuid.uuid5(uuid.NAMESPACE_URL, f'stackmend:{run}:{step}')}"
