# SPDX-License-Identifier: Apache-2.0
"""Undo: from the journal of a run, a new guarded plan that reverts it, last step first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from stackmend.engine.planning.step_text import Describe, literal, named
from stackmend.engine.running.lanes import Lane, intents, last_entries
from stackmend.model.errors import InDoubtError, SourceError, UsageError
from stackmend.model.journal import JournalEntry, RunRecord, RunState
from stackmend.model.plan import Action, Unrepaired, row_id
from stackmend.model.protocols import Writer
from stackmend.model.step import (
    ApiCall,
    BumpRow,
    DeleteRow,
    HostCommand,
    InsertRow,
    Manual,
    Risk,
    Step,
    StepState,
    UpdateRow,
    Values,
    irreversible,
    writes,
)
from stackmend.model.values import row, whole
from stackmend.model.writer import Group

_Spot = tuple[object, ...]


def refuse(run: RunRecord, entries: Sequence[JournalEntry]) -> None:
    """UsageError for a run that has not ended, InDoubtError for one with steps in doubt."""
    if run.state is RunState.RUNNING:
        raise UsageError(f"run {run.id} has not ended", "Wait for it, or interrupt it.")
    if run.state is RunState.CUT_OFF:
        raise UsageError(f"run {run.id} was cut off", f"Complete it first: 'stackmend run resume {run.id}'.")
    doubt = [n for n, e in last_entries(entries).items() if e.state in (StepState.INTENT, StepState.IN_DOUBT)]
    if doubt:
        raise InDoubtError(
            f"run {run.id} has {len(doubt)} steps whose outcome is unknown: step {doubt[0]} is the first",
            f"See 'stackmend run show {run.id}', then 'stackmend run resume {run.id}'.",
        )


def done_before(runs: Iterable[tuple[Sequence[Action], Sequence[JournalEntry]]]) -> frozenset[str]:
    """Ids of the actions that earlier undo runs have reverted completely."""
    found: set[str] = set()
    for actions, entries in runs:
        last, number = last_entries(entries), 0
        for action in actions:
            numbers = [number + offset for offset, step in enumerate(action.steps) if writes(step)]
            if numbers and all(n in last and last[n].state is StepState.DONE for n in numbers):
                found.add(action.id)
            number += len(action.steps)
    return frozenset(found)


def inverse(
    actions: Sequence[Action], entries: Sequence[JournalEntry], skip: frozenset[str], describe: Describe = named
) -> tuple[list[Action], list[str]]:
    """(actions that revert what the run did, last first; what cannot be reverted, one sentence each).

    Steps that the run found already done are not its own, and stay. ``skip``: actions reverted before.
    """
    last, begun = last_entries(entries), intents(entries)
    numbered = list(_numbered(actions))
    own = {n for n, _, _ in numbered if _own(last.get(n), n in begun)}
    counters = _left_in_counters(numbered, last, own)
    counted: set[_Spot] = {(*row_id(step), step.column) for _, _, step in numbered if isinstance(step, BumpRow)}
    stages = max((action.stage for action in actions), default=0)
    mine: dict[int, list[tuple[int, Step]]] = {}
    for number, owner, step in numbered:
        if number in own and actions[owner].id not in skip:
            mine.setdefault(owner, []).append((number, step))
    found, lost = [], []
    for index in sorted(mine, reverse=True):
        action, steps = actions[index], []
        for number, step in reversed(mine[index]):
            if irreversible(step):
                lost.append(f"{action.id} {action.repair}: step {number} is irreversible: {literal(step, describe)}")
                continue
            steps.append(_back(step, begun[number], last[number], counters, counted))
        if steps:
            found.append(_action(action, steps, stages, describe))
    return found, lost


def moved_on(back: Sequence[Lane], writer: Writer) -> list[tuple[Action, str]]:
    """The actions of an undo whose rows are no longer as the run left them, and why; calls are not checked."""
    by: dict[str, list[Group]] = {}
    for lane in back:
        for group in lane.groups:
            # counters are shared: they alone prevent nothing
            if not all(isinstance(step, BumpRow) for step in group.steps):
                by.setdefault(group.database, []).append(group)
    found: dict[int, str] = {}
    for database, groups in by.items():
        try:
            verdicts = writer.probe(groups, {})
        except SourceError as problem:
            found |= {group.lane: f"database {database} could not be read: {problem.message}" for group in groups}
            continue
        for group, verdict in zip(groups, verdicts, strict=True):
            if verdict.state is not StepState.PLANNED:
                done = verdict.state is StepState.DONE
                found[group.lane] = "it is already as before the run" if done else "its rows have changed since"
    return [(lane.action, found[lane.number]) for lane in back if lane.number in found]


def summary(moved: Sequence[Action], of: int) -> tuple[str, ...]:
    """One line about what has changed since, () if nothing has."""
    if not moved:
        return ()
    kinds = Counter(action.resource_type for action in moved)
    what = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
    return (f"{len(moved)} of {of} have changed since and are left alone: {what}",)


def left_alone(action: Action, why: str) -> Unrepaired:
    """An action that the undo will find stale."""
    return Unrepaired(
        check=action.id, fingerprint="", resource_type=action.resource_type, resource_id=action.resource_id,
        message=action.message, reason=f"{why}: left alone", repair=action.repair,
    )  # fmt: skip


def irretrievable(text: str) -> Unrepaired:
    """What cannot be undone, in the words of :func:`inverse`."""
    return Unrepaired(
        check="", fingerprint="", resource_type="step", resource_id="", message=text, reason=f"not undone: {text}"
    )


def own_steps(actions: Sequence[Action], entries: Sequence[JournalEntry]) -> list[Step]:
    """The steps that a run executed itself, in the order of its plan."""
    last, begun = last_entries(entries), intents(entries)
    return [step for n, _, step in _numbered(actions) if _own(last.get(n), n in begun)]


def _numbered(actions: Sequence[Action]) -> Iterator[tuple[int, int, Step]]:
    """(number of the step, index of its action, step)."""
    number = 0
    for index, action in enumerate(actions):
        for step in action.steps:
            yield number, index, step
            number += 1


def _own(entry: JournalEntry | None, begun: bool) -> bool:
    return entry is not None and begun and entry.state is StepState.DONE and not (entry.image or {}).get("already")


def _action(action: Action, steps: list[Step], stages: int, describe: Describe) -> Action:
    return replace(
        action,
        check="",
        message=f"undone: {action.message}",
        risk=Risk.SAFE,
        stage=stages - action.stage,
        steps=tuple(steps),
        statements=tuple(literal(step, describe) for step in steps),
        why="",
        instead="",
    )


def _left_in_counters(
    numbered: Sequence[tuple[int, int, Step]], last: Mapping[int, JournalEntry], own: set[int]
) -> dict[_Spot, int]:
    """The value that the run left in each counter: counters only increase, so the highest is the last."""
    found: dict[_Spot, int] = {}
    for number, _, step in numbered:
        image = last[number].image if number in own else None
        if isinstance(step, BumpRow) and step.by > 0 and image and "value" in image:
            spot = (*row_id(step), step.column)
            now = whole(image["value"])
            found[spot] = max(found.get(spot, now), now)
    return found


def _back(
    step: Step, intent: JournalEntry, outcome: JournalEntry, counters: Mapping[_Spot, int], counted: set[_Spot]
) -> Step:
    """The step that reverts this one, guarded by the values it left."""
    image = intent.image or {}
    if isinstance(step, UpdateRow):
        spot = row_id(step)
        # others may have incremented a counter of the row since: that alone is no reason to refuse
        guards = {c: v for c, v in step.before.items() if (*spot, c) not in counted or c in step.after}
        before = {**guards, **step.after}
        return replace(step, before=before, after={c: step.before[c] for c in step.after}, pk=_moved(step))
    if isinstance(step, InsertRow):
        pk = row((outcome.image or {}).get("pk"))
        return DeleteRow(database=step.database, table=step.table, pk=pk, before={**step.values, **pk})
    if isinstance(step, DeleteRow):
        values = {**step.before, **row(image.get("row"))}
        return InsertRow(
            database=step.database, table=step.table, key=step.pk, values=values, sealed=str(image.get("sealed", ""))
        )
    if isinstance(step, BumpRow):
        if step.by < 0 or step.left is not None:
            return replace(step, by=abs(step.by), left=None)
        return replace(step, left=counters.get((*row_id(step), step.column)))
    if isinstance(step, ApiCall) and step.inverse is not None:
        # if that is undone in turn, it is executed again
        return replace(step.inverse, inverse=replace(step, inverse=None))
    if isinstance(step, HostCommand) and step.inverse is not None:
        return replace(step, argv=step.inverse, inverse=step.argv, back=not step.back)
    return Manual(text=f"undo by hand: {literal(step)}")


def _moved(step: UpdateRow) -> Values:
    """The primary key after the update, in case it changed a part of it."""
    return {column: step.after.get(column, value) for column, value in step.pk.items()}
