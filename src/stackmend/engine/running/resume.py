# SPDX-License-Identifier: Apache-2.0
"""Resumes a run: steps in doubt are probed in the live data, never blindly repeated and never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stackmend.engine.running.lanes import Call, Lane, intents, lanes, last_entries
from stackmend.engine.running.runner import Tools
from stackmend.engine.running.verify import probed
from stackmend.model.journal import JournalEntry, RunRecord
from stackmend.model.plan import Action
from stackmend.model.step import ApiCall, BumpRow, HostCommand, InsertRow, StepState, writes
from stackmend.model.values import whole
from stackmend.model.writer import Group, GroupResult, counted

_CLOSED = (StepState.STALE, StepState.FAILED)
_BY_NOW = "it had failed, but is now found done"
_UNKNOWN = (StepState.INTENT, StepState.IN_DOUBT)


def restored(actions: Sequence[Action], entries: Sequence[JournalEntry]) -> list[Lane]:
    """The lanes of a run as its journal left them; segments with an intent but no outcome are still open."""
    last, begun = last_entries(entries), intents(entries)
    found = lanes(_recounted(actions, last))
    for lane in found:
        while lane.open:
            segment = lane.segment
            numbers = _writing(segment)
            states = {last[n].state for n in numbers if n in last}
            closed = next((s for s in _CLOSED if s in states), None)
            if closed and not (_asked_again(segment, closed) or _sent(segment, last)):
                lane.stop(closed, next(last[n].note for n in numbers if n in last and last[n].state is closed))
            elif numbers and states == {StepState.DONE} and all(n in last for n in numbers):
                lane.already = all((last[n].image or {}).get("already") for n in numbers)
                lane.skip() if lane.already else lane.advance()
            else:
                break
        head = last.get(lane.first)
        if (
            lane.open and lane.at == 0 and head is not None and head.state in _CLOSED
            and not _asked_again(lane.segment, head.state) and not _sent(lane.segment, last)
        ):  # fmt: skip
            lane.stop(head.state, head.note)
        for number, entry in begun.items():
            if lane.first <= number < lane.first + len(lane.action.steps):
                lane.begun[number] = entry.image or {}
                lane.batches[number] = entry.batch
    return found


def _sent(segment: Group | Call, last: Mapping[int, JournalEntry]) -> bool:
    """Whether it is a call that failed although a service had accepted it: its result is checked once more."""
    if not isinstance(segment, Call) or segment.number not in last:
        return False
    entry = last[segment.number]
    return entry.state is StepState.FAILED and bool((entry.image or {}).get("sent"))


def come_true(tools: Tools, actions: Sequence[Action], entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Calls of a run that had failed but are done by now: undo has to revert them too."""
    last = last_entries(entries)
    calls = [segment for lane in lanes(actions) for segment in lane.segments if isinstance(segment, Call)]
    return [
        JournalEntry(call.number, StepState.DONE, None, _BY_NOW)
        for call in calls
        if _sent(call, last) and tools.executors[call.step.kind].probe(call.step) is StepState.DONE
    ]


def _asked_again(segment: Group | Call, state: StepState) -> bool:
    """Whether a failure is checked once more: if nothing is sent, the awaited state may have come about since."""
    if state is not StepState.FAILED or not isinstance(segment, Call):
        return False
    step = segment.step
    return step.waits if isinstance(step, ApiCall) else isinstance(step, HostCommand) and not step.argv


def _recounted(actions: Sequence[Action], last: Mapping[int, JournalEntry]) -> list[Action]:
    """For the undo of counters: what this run itself has left in them so far is the value to expect now."""
    values: dict[tuple[object, ...], int] = {}
    number = 0
    for action in actions:
        for step in action.steps:
            image = last[number].image if number in last and last[number].state is StepState.DONE else None
            if isinstance(step, BumpRow) and step.left is not None and image and "value" in image:
                spot, now = _spot(step), whole(image["value"])
                # they are decremented one after another: the lowest value is the latest
                values[spot] = min(values.get(spot, now), now)
            number += 1
    if not values:
        return list(actions)
    return [
        replace(
            action,
            steps=tuple(
                replace(s, left=values[_spot(s)]) if isinstance(s, BumpRow) and _spot(s) in values else s
                for s in action.steps
            ),
        )
        for action in actions
    ]


def _spot(step: BumpRow) -> tuple[object, ...]:
    return step.database, step.table, tuple(sorted(step.pk.items())), step.column


def _writing(segment: Group | Call) -> list[int]:
    if isinstance(segment, Call):
        return [segment.number]
    return [n for n, s in zip(segment.numbers, segment.steps, strict=True) if writes(s)]  # type: ignore[arg-type]


def probe(tools: Tools, record: RunRecord, found: Sequence[Lane]) -> None:
    """Settle every segment that has an intent but no outcome: done, to do again, or in doubt.

    The groups of a transaction were executed together or not at all, so one that is certainly done decides for the
    others. If the guards of a done group no longer hold, its lane records why (``regret``) and is reverted.
    """
    batches: dict[tuple[str, int], list[Lane]] = {}
    entries: list[JournalEntry] = []
    last = last_entries(tools.journal.entries(record.id))
    for lane in found:
        if not lane.open:
            continue
        segment = lane.segment
        started = [n for n in _writing(segment) if n in lane.begun]
        if not started:
            continue
        if isinstance(segment, Call):
            entries += _probe_call(tools, lane, segment, last)
        else:
            batches.setdefault((segment.database, lane.batches[started[0]]), []).append(lane)
    for some in batches.values():
        groups = [lane.segment for lane in some if isinstance(lane.segment, Group)]
        images = {number: image for lane in some for number, image in lane.begun.items()}
        verdicts = probed(tools.writer, groups, images)
        committed = any(verdict.state is StepState.DONE for verdict in verdicts)
        rolled_back = any(verdict.state is StepState.PLANNED for verdict in verdicts)
        made: list[tuple[Lane, Group]] = []
        left = counted(groups, images)
        for lane, group, verdict in zip(some, groups, verdicts, strict=True):
            before = lane.at
            entries += _settle(lane, group, verdict, left, committed=committed and not rolled_back, open=rolled_back)
            made += [(lane, group)] if lane.at > before else []
        # the process that committed them may not have got as far as its second look
        for (lane, _), why in zip(made, tools.writer.second_look([group for _, group in made]), strict=True):
            lane.regret = why
    if entries:
        tools.journal.note(record.id, entries)


def _settle(
    lane: Lane, group: Group, verdict: GroupResult, left: Mapping[int, int], *, committed: bool, open: bool
) -> list[JournalEntry]:
    if verdict.state is StepState.DONE:
        lane.advance()
        return verdict.entries
    if verdict.state is StepState.PLANNED or open:
        # tried again, and stale if the rows have changed since
        return []
    if committed and not any(isinstance(step, InsertRow) for step in group.steps):
        lane.advance()
        note = "other steps of its transaction are done, so this one was; its rows have changed since"
        return [JournalEntry(n, StepState.DONE, {"value": left[n]} if n in left else None, note) for n in group.numbers]
    lane.stop(StepState.IN_DOUBT, verdict.note)
    return verdict.entries


def _probe_call(tools: Tools, lane: Lane, call: Call, last: Mapping[int, JournalEntry]) -> list[JournalEntry]:
    state = tools.executors[call.step.kind].probe(call.step)
    if _sent(call, last) and state not in (StepState.DONE, StepState.INTENT):
        # a failed call is not sent a second time
        lane.stop(StepState.FAILED, last[call.number].note)
        return []
    if state in (StepState.PLANNED, StepState.INTENT):
        # a call in progress is awaited when its turn comes, together with the others
        return []
    if state is StepState.DONE:
        lane.advance()
        return [JournalEntry(call.number, state, None, "found to be done")]
    note = "its outcome is unknown: the probe cannot determine it"
    state = StepState.FAILED if state is StepState.FAILED else StepState.IN_DOUBT
    lane.stop(state, note)
    return [JournalEntry(call.number, state, None, note)]
