# SPDX-License-Identifier: Apache-2.0
"""One run for people: its facts, then a block per repair with the outcome and time of every step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from stackmend.model.journal import JournalEntry, Remark, RunRecord
from stackmend.model.plan import Action
from stackmend.model.step import Gate, StepState, writes
from stackmend.report import changes
from stackmend.report.plans import heading
from stackmend.report.view import TextContext
from stackmend.report.words import count

#: how services and we name a request: the latter goes with each, as its global id
_REQUEST = re.compile(r"\breq-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
#: the worst first
_WORST = (
    StepState.IN_DOUBT,
    StepState.FAILED,
    StepState.STALE,
    StepState.HELD,
    StepState.INTENT,
    StepState.PLANNED,
    StepState.DONE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalledRun:
    """A run as recorded in the journal."""

    run: RunRecord
    actions: tuple[Action, ...]
    entries: tuple[JournalEntry, ...]
    remarks: tuple[Remark, ...] = ()

    def of_step(self) -> Mapping[int, list[JournalEntry]]:
        """Number of a step in the run, from 0 -> its entries, in the order written."""
        found: dict[int, list[JournalEntry]] = {}
        for entry in self.entries:
            found.setdefault(entry.step, []).append(entry)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The outcome of one repair."""

    id: str
    title: str
    state: str  #: of its worst step
    lines: tuple[str, ...]  #: the object, why, and every step


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A run, ready to be written in any form."""

    title: str
    facts: tuple[str, ...]  #: a sentence each
    remarks: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        """The text for the terminal."""
        lines = [self.title, *self.facts, *self.remarks]
        for block in self.blocks:
            lines += ["", f"{block.title}: {block.state}", *block.lines]
        return "\n".join(lines)


def requests(entries: Sequence[JournalEntry]) -> list[str]:
    """The ids of the requests made for a step: ours, and those of the services."""
    return list(dict.fromkeys(name for entry in entries for name in _REQUEST.findall(entry.note)))


def sheet(happened: JournalledRun, pace: str, shown: Sequence[Action], view: TextContext) -> Sheet:
    """The run, with the blocks of these actions."""
    run, of_step = happened.run, happened.of_step()
    states = Counter(str(state) for action, at in _numbered(happened.actions) if (state := _state(action, at, of_step)))
    day = run.created_at[:10]
    told = {action.id for action in shown}
    facts = [
        f"by {run.operator} on {run.host}, from {_second(run.created_at)} to {_second(run.ended_at) or '(not ended)'}",
        f"plan {run.plan}, stackmend {run.version}; times are UTC",
        f"repairs: {', '.join(f'{number:,} {state}' for state, number in states.most_common()) or 'none'}",
        f"steps: {pace}",
    ]
    return Sheet(
        title=f"run {run.id}: {run.kind}, {run.state.value}" + (f", undoes {run.undoes}" if run.undoes else ""),
        facts=tuple(line for fact in facts for line in view.wrapped(fact, "  ", "    ")),
        remarks=tuple(
            line for one in happened.remarks for line in view.wrapped(f"{_second(one.at)}  {one.text}", "  ", "    ")
        ),
        blocks=tuple(
            Block(
                id=action.id,
                title=heading(action),
                state=_state(action, at, of_step) or "for you",
                lines=tuple(_block(action, at, of_step, day, view)),
            )
            for action, at in _numbered(happened.actions)
            if action.id in told
        ),
    )


def _numbered(actions: Sequence[Action]) -> list[tuple[Action, int]]:
    """Each action with the number of its first step in the run."""
    found, at = [], 0
    for action in actions:
        found.append((action, at))
        at += len(action.steps)
    return found


def _state(action: Action, at: int, of_step: Mapping[int, list[JournalEntry]]) -> str:
    """State of its worst step; "" if stackmend does none of them."""
    states = set()
    for number, step in enumerate(action.steps):
        entries = of_step.get(at + number)
        if writes(step) or isinstance(step, Gate):
            states.add(entries[-1].state if entries else StepState.PLANNED)
        elif changes.is_guard(step) and entries:
            states.add(entries[-1].state)
    worst = next((state for state in _WORST if state in states), None)
    if worst is StepState.PLANNED and StepState.DONE not in states:
        return "not started"
    return "" if worst is None else worst.value


def _block(
    action: Action, at: int, of_step: Mapping[int, list[JournalEntry]], day: str, view: TextContext
) -> list[str]:
    found = list(view.about(action.resource_type, action.resource_id))
    says = view.with_names(action.message, action.resource_type, action.resource_id)
    found += view.wrapped(f"{action.check + ': ' if action.check else ''}{says}", "    ")
    if action.why:
        found += view.wrapped(f"what may be lost: {action.why}", "    ", "      ")
    if not view.sql:
        found += changes.guards(action.steps, view)
    for number, step in enumerate(action.steps):
        entries = of_step.get(at + number, [])
        last = entries[-1] if entries else None
        held = last is None or last.state in (StepState.DONE, StepState.PLANNED)
        if changes.is_guard(step) and held and not view.sql:
            continue
        said = f"{_time(last.at, day)} {last.state.value}  " if last else ""
        found += changes.lines(action, number, view, said=said)
        ids = requests(entries)
        note = _REQUEST.sub("", last.note).replace("(, )", "").replace("()", "").strip() if last and ids else ""
        note = note if ids else last.note if last else ""
        if note:
            found += view.wrapped(note, "          ")
        if ids:
            found += view.wrapped(f"{count(len(ids), 'request')}: {', '.join(ids)}", "          ")
    return found


def _second(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def _time(moment: str, day: str) -> str:
    """The time of day; with the date if that is not the day on which the run began."""
    return moment[11:19] if moment[:10] == day else f"{moment[:10]} {moment[11:19]}"
