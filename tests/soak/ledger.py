# SPDX-License-Identifier: Apache-2.0
"""Whether what runs and services say they changed explains what the rows are.

Every change names its row, the values before and after, and the time between whose ends it was committed. The rows
before and after a phase, all of them, are explained if there is an order of the changes of each row that agrees with
those times, in which each change finds the values it says it found, and which ends with the row as it is. So a row
that nobody says they changed has to be as before, and a run that wrote over the change of a service is found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from stackmend.engine.running.lanes import last_entries
from stackmend.model.journal import JournalEntry
from stackmend.model.plan import Action
from stackmend.model.step import BumpRow, DeleteRow, InsertRow, StepState, UpdateRow, Value

#: a value as the server prints it
Text = str | bytes | None
#: of a counter whose outcome nobody recorded: equal to anything
UNKNOWN = "\0"
#: columns of a row, as far as they are known
Image = Mapping[str, Text]


class Row(NamedTuple):
    """The name of a row: database, table, primary key in the order of its columns."""

    database: str
    table: str
    key: tuple[Text, ...]

    def __str__(self) -> str:
        return f"{self.database}.{self.table} {', '.join(map(str, self.key))}"


Rows = Mapping[Row, Image]
#: (database, table) -> its primary key
Keys = Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was done to one row. ``before``, ``after``: None where there is no row; else the columns that are known."""

    who: str
    row: Row
    begun: float  #: it was not committed earlier
    ended: float  #: nor later
    before: Image | None
    after: Image | None
    doubtful: bool = False  #: nobody knows whether it was done
    by: int = 0  #: of a counter, whose value before does not matter
    is_run: bool = False  #: not of a service


def text(value: Value) -> Text:
    """A value of the journal as the server prints it."""
    if isinstance(value, bool):
        return str(int(value))
    return str(value) if isinstance(value, int | float) else value


def of_run(run: str, actions: Sequence[Action], entries: Sequence[JournalEntry], keys: Keys) -> list[Change]:
    """What a run says it changed, and what it does not know."""
    steps = [step for action in actions for step in action.steps]
    begun: dict[int, JournalEntry] = {}
    for entry in entries:
        if entry.state is StepState.INTENT:
            begun.setdefault(entry.step, entry)
    found = []
    for number, entry in last_entries(entries).items():
        step, image = steps[number], dict(entry.image or {})
        if entry.state not in (StepState.DONE, StepState.IN_DOUBT, StepState.INTENT) or image.get("already"):
            continue
        if not isinstance(step, UpdateRow | InsertRow | DeleteRow | BumpRow):
            continue
        by = keys[step.database, step.table]
        pk = {**step.values, **_mapping(image.get("pk"))} if isinstance(step, InsertRow) else step.pk
        change = Change(
            who=f"run {run}, step {number}",
            row=Row(step.database, step.table, tuple(text(pk[column]) for column in by)),
            begun=_moment(begun.get(number, entry).at),
            ended=_moment(entry.at) if entry.state is StepState.DONE else float("inf"),
            before=None if isinstance(step, InsertRow | BumpRow) else _texts(step.before),
            after=None,
            doubtful=entry.state is not StepState.DONE,
            is_run=True,
        )
        if isinstance(step, UpdateRow) and (moved := {**step.pk, **step.after}) != {**moved, **step.pk}:
            # to another key: the old row goes, and the new one is there with what is known of it
            new = Row(step.database, step.table, tuple(text(moved[column]) for column in by))
            found.append(replace(change, row=new, before=None, after=_texts({**step.before, **moved})))
        elif isinstance(step, UpdateRow):
            change = replace(change, after=_texts(step.after))
        elif isinstance(step, InsertRow):
            change = replace(change, after=_texts(pk))
        elif isinstance(step, BumpRow):
            value = image.get("value")
            after = {step.column: text(value) if isinstance(value, int) else UNKNOWN}
            change = replace(change, after=after, by=step.by or 1)
        found.append(change)
    return found


def _mapping(value: object) -> dict[str, Value]:
    return dict(value) if isinstance(value, Mapping) else {}


def _texts(values: Mapping[str, Value]) -> dict[str, Text]:
    return {column: text(value) for column, value in values.items()}


def _moment(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def violations(before: Rows, after: Rows, changes: Iterable[Change]) -> Iterator[str]:
    """Each row that the changes do not explain, in a sentence."""
    by_row: dict[Row, list[Change]] = {}
    for change in changes:
        by_row.setdefault(change.row, []).append(change)
    for row in before.keys() | after.keys() | by_row.keys():
        some, start, end = by_row.get(row, []), before.get(row), after.get(row)
        if not some and start != end:
            yield f"{row}: nobody says they changed it, but {_difference(start, end)}"
        elif some and not explained(start, end, some):
            told = "; ".join(_told(change) for change in sorted(some, key=lambda one: one.begun)[-6:])
            yield f"{row}: it has changed ({_difference(start, end)}), which is not explained by {told}"


def explained(start: Image | None, end: Image | None, changes: Sequence[Change]) -> bool:
    """Whether some order of the changes leads from one to the other."""
    seen: set[tuple[frozenset[int], frozenset[tuple[str, Text]] | None]] = set()
    stack: list[tuple[frozenset[int], Image | None]] = [(frozenset(range(len(changes))), start)]
    while stack:
        left, image = stack.pop()
        if not left:
            if _same(image, end):
                return True
            continue
        state = (left, None if image is None else frozenset(image.items()))
        if state in seen:
            continue
        seen.add(state)
        last = min(changes[n].ended for n in left)
        for number in sorted(left, key=lambda n: changes[n].begun, reverse=True):
            change = changes[number]
            if change.begun > last:  # another one had ended by then
                continue
            if change.doubtful:
                stack.append((left - {number}, image))
            if _is_possible(change, image):
                stack.append((left - {number}, None if change.after is None else {**(image or {}), **change.after}))
    return False


def _is_possible(change: Change, image: Image | None) -> bool:
    """Whether the change can have been made to a row like this."""
    if change.by:
        return image is not None
    if change.before is None or image is None:
        return change.before is None and image is None
    return _agree(change.before, image)


def _agree(some: Image, image: Image) -> bool:
    """Whether these columns are so; of a row that a run inserted, columns may be unknown."""
    return all(_equal(value, image[column]) for column, value in some.items() if column in image)


def _same(image: Image | None, end: Image | None) -> bool:
    if image is None or end is None:
        return image is None and end is None
    return _agree(image, end)


def _equal(one: Text, other: Text) -> bool:
    if UNKNOWN in (one, other):
        return True
    if one == other or one is None or other is None:
        return one == other
    if isinstance(one, bytes) != isinstance(other, bytes):
        return (one if isinstance(one, bytes) else one.encode()) == (
            other if isinstance(other, bytes) else other.encode()
        )
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _difference(start: Image | None, end: Image | None) -> str:
    if start is None or end is None:
        words = {True: "absent", False: "there"}
        return f"it was {words[start is None]} and is {words[end is None]}"
    columns = [f"{c}: {_short(start.get(c))} -> {_short(v)}" for c, v in end.items() if start.get(c) != v]
    return ", ".join(columns) or "it is as before"


def _told(change: Change) -> str:
    sure = ", in doubt" if change.doubtful else ""
    return f"{change.who} [{change.begun:.3f}, {change.ended:.3f}]{sure}: {_shorter(change.before, change.after)}"


def _shorter(before: Image | None, after: Image | None) -> str:
    if before is None or after is None:
        return "inserted" if before is None and after is not None else "deleted"
    return ", ".join(f"{c}: {_short(before.get(c))} -> {_short(v)}" for c, v in after.items())


def _short(value: Text) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:40]}... ({len(shown)})"
