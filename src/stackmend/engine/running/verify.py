# SPDX-License-Identifier: Apache-2.0
"""After a run, its checks run once more for its findings: a repair is done if they return nothing.

Likewise the rows: what a probe says about them, and whether an undo has restored them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from stackmend.engine.auditing.confirm import Confirmed
from stackmend.engine.running.lanes import Lane
from stackmend.model.errors import SourceError
from stackmend.model.journal import JournalEntry
from stackmend.model.protocols import Writer
from stackmend.model.step import StepState
from stackmend.model.writer import Group, GroupResult

#: runs checks again: check -> rows they returned before
AskAgain = Callable[[Mapping[str, Sequence[Mapping[str, object]]]], Confirmed]


@dataclass(frozen=True, slots=True)
class Verified:
    """What the checks return after a run."""

    still: tuple[Lane, ...]  #: their finding is still there
    unknown: Mapping[str, str]  #: check -> why it could not be run


def verify(done: Sequence[Lane], ask: AskAgain) -> Verified:
    """Run the checks of these lanes for their findings."""
    answer = ask(by_check(done))
    still = [lane for lane in done if lane.action.fingerprint in answer.rows.get(lane.action.check, {})]
    return Verified(tuple(still), answer.unknown)


@dataclass(frozen=True, slots=True)
class Compared:
    """The rows after an undo."""

    different: tuple[str, ...]  #: a sentence for each row that is not as it should be
    unknown: Mapping[str, str]  #: database -> why it could not be read


def compare(lanes: Iterable[Lane], writer: Writer) -> Compared:
    """Check whether the rows are as the done lanes left them."""
    by: dict[str, list[Group]] = {}
    for lane in sorted(lanes, key=lambda one: (one.action.stage, one.number)):
        if lane.state is StepState.DONE and not lane.already:
            for group in lane.groups:
                by.setdefault(group.database, []).append(group)
    different: list[str] = []
    unknown: dict[str, str] = {}
    for database, groups in by.items():
        try:
            different += writer.differences(groups)
        except SourceError as problem:
            unknown[database] = problem.message
    return Compared(tuple(different), unknown)


def probed(writer: Writer, groups: Sequence[Group], images: Mapping[int, Mapping[str, object]]) -> list[GroupResult]:
    """The result of probing these groups; in doubt, with the reason, if the rows cannot be read."""
    try:
        return writer.probe(groups, images)
    except SourceError as problem:
        note = f"{problem.message}. {problem.hint}".strip()
        return [
            GroupResult(
                StepState.IN_DOUBT, note, [JournalEntry(n, StepState.IN_DOUBT, None, note) for n in group.numbers]
            )
            for group in groups
        ]


def by_check(lanes: Iterable[Lane]) -> dict[str, list[Mapping[str, object]]]:
    """Each check with the rows it returned for these lanes."""
    found: dict[str, list[Mapping[str, object]]] = {}
    for lane in lanes:
        found.setdefault(lane.action.check, []).append(lane.action.target)
    return found
