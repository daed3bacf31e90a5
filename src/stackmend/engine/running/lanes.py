# SPDX-License-Identifier: Apache-2.0
"""Lanes: an action divided into parts that are executed together or not at all, and its progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stackmend.model.journal import JournalEntry
from stackmend.model.plan import Action
from stackmend.model.step import (
    CallStep,
    ExpectNone,
    ExpectRow,
    Gate,
    Manual,
    RowStep,
    Step,
    StepState,
    writes,
)
from stackmend.model.writer import Group

#: row steps per transaction: 2,000 gain nothing, and a cluster certifies small ones more readily
#: (docs/explanation/performance.md)
BATCH = 500


@dataclass(frozen=True, slots=True)
class Call:
    """A step other than a row step."""

    lane: int
    step: CallStep
    number: int


Segment = Group | Call


@dataclass(slots=True, eq=False)
class Lane:
    """An action in progress."""

    number: int
    action: Action
    first: int  #: number of its first step in the run
    segments: list[Segment]
    at: int = 0  #: index of the next segment
    state: StepState = StepState.PLANNED  #: PLANNED while it may continue
    note: str = ""
    already: bool = False  #: nothing was left to do
    made: int = 0  #: steps that changed something
    regret: str = ""  #: why what an earlier process committed of it has to be reverted
    #: intents of an earlier process, by step: their images
    begun: dict[int, Mapping[str, object]] = field(default_factory=dict)
    batches: dict[int, int] = field(default_factory=dict)  #: step -> its transaction in an earlier process

    @property
    def open(self) -> bool:
        """True while it may continue."""
        return self.state is StepState.PLANNED

    @property
    def segment(self) -> Segment:
        """The next segment."""
        return self.segments[self.at]

    @property
    def call(self) -> Call:
        """The next segment if it is a call; TypeError if it consists of row steps."""
        segment = self.segments[self.at]
        if isinstance(segment, Call):
            return segment
        raise TypeError(f"row steps are next in lane {self.number}")

    @property
    def gate(self) -> str:
        """Name of the gate if that is next, else ""."""
        segment = self.segments[self.at]
        return segment.step.name if isinstance(segment, Call) and isinstance(segment.step, Gate) else ""

    @property
    def groups(self) -> list[Group]:
        """Its row steps."""
        return [segment for segment in self.segments if isinstance(segment, Group)]

    def advance(self) -> None:
        """The segment is done; after the last one the lane is done."""
        segment = self.segments[self.at]
        self.made += 1 if isinstance(segment, Call) else sum([writes(step) for step in segment.steps])  # type: ignore[arg-type]
        self.skip()

    def skip(self) -> None:
        """The segment needs no work."""
        self.at += 1
        if self.at >= len(self.segments):
            self.state = StepState.DONE

    def stop(self, state: StepState, note: str) -> None:
        """The lane ends here; the others continue."""
        self.state, self.note = state, note

    @property
    def awaited(self) -> str:
        """What a human, or time, has to do before its finding is gone; "" if nothing."""
        return "; ".join(s.text for s in self.action.steps if isinstance(s, Manual) and s.awaited)

    def manual(self) -> Iterator[tuple[int, str]]:
        """(number, text) of what is left to be done by hand."""
        for offset, step in enumerate(self.action.steps):
            if isinstance(step, Manual):
                yield self.first + offset, step.text


def lanes(actions: Iterable[Action]) -> list[Lane]:
    """The lanes of a run; steps are numbered consecutively, as in the journal."""
    made, first = [], 0
    for number, action in enumerate(actions):
        made.append(Lane(number, action, first, list(segments(number, first, action.steps))))
        first += len(action.steps)
    return made


def segments(lane: int, first: int, steps: Sequence[Step]) -> Iterator[Segment]:
    """Maximal sequences of row steps on one database, each with the guards before it, and calls one by one.

    Guards at the end belong to the last sequence. Manual steps belong to no segment.
    """
    current: list[tuple[RowStep, int]] = []
    waiting: list[tuple[RowStep, int]] = []
    database = ""
    for number, step in enumerate(steps, first):
        if isinstance(step, ExpectRow | ExpectNone):
            waiting.append((step, number))
        elif isinstance(step, RowStep):
            if current and step.database != database:
                yield _group(lane, database, current)
                current = []
            database = step.database
            current += [*waiting, (step, number)]
            waiting = []
        elif isinstance(step, CallStep):
            if current:
                yield _group(lane, database, current)
            if waiting:
                yield _group(lane, waiting[0][0].database, waiting)
            current, waiting = [], []
            yield Call(lane, step, number)
    if current:
        yield _group(lane, database, [*current, *waiting])
    elif waiting:
        yield _group(lane, waiting[0][0].database, waiting)


def _group(lane: int, database: str, steps: list[tuple[RowStep, int]]) -> Group:
    return Group(lane, database, tuple([s for s, _ in steps]), tuple([n for _, n in steps]))


def last_entries(entries: Iterable[JournalEntry]) -> dict[int, JournalEntry]:
    """Each step with its last entry."""
    return {entry.step: entry for entry in entries}


def intents(entries: Iterable[JournalEntry]) -> dict[int, JournalEntry]:
    """Each step with its last intent."""
    return {entry.step: entry for entry in entries if entry.state is StepState.INTENT}


def batches(lanes: Iterable[Lane]) -> Iterator[list[Lane]]:
    """Lanes whose next segments fit into one transaction; calls come one by one."""
    batch: list[Lane] = []
    size = 0
    for lane in lanes:
        weight = len(lane.segment.steps) if isinstance(lane.segment, Group) else BATCH
        if batch and size + weight > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(lane)
        size += weight
    if batch:
        yield batch
