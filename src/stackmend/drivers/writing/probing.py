# SPDX-License-Identifier: Apache-2.0
"""Determines from the live rows alone whether steps are done: for a resume, and for a plan applied twice.

It reads where the write went, with the same account, and locks the rows: so it waits for a transaction that is still
committing, and a cluster's node must apply everything committed before it may answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stackmend.drivers.database.rows import Connections, fetch
from stackmend.drivers.writing.batch import Pk, RowImage
from stackmend.model.journal import JournalEntry
from stackmend.model.step import BumpRow, DeleteRow, InsertRow, Record, StepState, UpdateRow
from stackmend.model.writer import Group, GroupResult, counted

_Image = Mapping[str, Any] | None
#: a row of a group: its table, the identifying columns, their values
_Row = tuple[str, str, tuple[str, ...], Pk]


class _Net:
    """The net effect of a group on each row: the image before its first step and after its last."""

    def __init__(self, group: Group, connections: Connections) -> None:
        self.before: dict[_Row, _Image] = {}
        self.after: dict[_Row, _Image] = {}
        self.counts: list[tuple[_Row, BumpRow, int]] = []
        for step, number in zip(group.steps, group.numbers, strict=True):
            if isinstance(step, BumpRow):
                self.counts.append((_place(step, step.pk, connections), step, number))
            elif isinstance(step, InsertRow):
                self._step(_place(step, step.key), None, step.values)
            elif isinstance(step, UpdateRow):
                self._update(step, connections)
            elif isinstance(step, DeleteRow):
                self._step(_place(step, step.pk, connections), step.before, None)

    def _update(self, step: UpdateRow, connections: Connections) -> None:
        row = _place(step, step.pk, connections)
        moved = _place(step, {c: step.after.get(c, v) for c, v in step.pk.items()}, connections)
        if moved == row:
            self._step(row, step.before, step.after)
        else:  # to another key: the old row goes, and the new one is there with what is known of it
            known = {**step.before, **(self.after.get(row) or {}), **step.after}
            self._step(row, step.before, None)
            self._step(moved, None, known)

    def _step(self, row: _Row, before: _Image, after: _Image) -> None:
        self.before.setdefault(row, before)
        earlier = self.after.get(row)
        self.after[row] = {**earlier, **after} if earlier and after else after


class Probe:
    """The state of groups on one database. Counters are judged by the images of their intents."""

    def __init__(
        self,
        connections: Connections,
        groups: Sequence[Group],
        images: Mapping[int, _Image],
        left: Mapping[int, int] | None = None,
    ) -> None:
        """``left``: step -> the value of its counter after it, where the transaction itself is still known."""
        self._connections, self._groups, self._images = connections, groups, images
        self._counted = counted(groups, images) if left is None else left
        self._rows: dict[_Row, list[Record]] = {}

    def verdicts(self) -> list[GroupResult]:
        """DONE, PLANNED or IN_DOUBT for each group. SourceError if the rows cannot be read."""
        if not self._groups:
            return []
        nets = [_Net(group, self._connections) for group in self._groups]
        database = self._groups[0].database
        try:
            self._read(nets)
        finally:
            self._connections.leave(database)
        spans = self._spans(nets)
        return [self._verdict(g, n, spans) for g, n in zip(self._groups, nets, strict=True)]

    def _read(self, nets: Sequence[_Net]) -> None:
        database = self._groups[0].database
        wanted: dict[tuple[str, tuple[str, ...]], tuple[dict[str, None], dict[Pk, None]]] = {}
        for net in nets:
            found = [(row, image) for images in (net.before, net.after) for row, image in images.items()]
            found += [(row, {step.column: None}) for row, step, _ in net.counts]
            for (_, table, by, values), image in found:
                columns, keys = wanted.setdefault((table, by), ({}, {}))
                columns.update(dict.fromkeys((*by, *(image or ()))))
                keys[values] = None
        self._connections.tables(database)
        dialect, connection = self._connections.get(database)
        dialect.begin_write(connection)
        # one that is still being inserted is not there for a locking read of PostgreSQL
        dialect.keep_out(connection, {row[1] for net in nets for row, image in net.before.items() if image is None})
        for (table, by), (columns, keys) in wanted.items():
            known = self._connections.table(database, table)
            names = tuple(dict.fromkeys((*columns, *known.key)))
            for values in fetch(dialect, connection, table, names, by, keys, lock=dialect.for_update):
                row = dict(zip(names, values, strict=True))
                self._rows.setdefault((database, table, by, tuple([row[c] for c in by])), []).append(row)

    def _verdict(self, group: Group, net: _Net, spans: Mapping[tuple[_Row, str], tuple[int, int]]) -> GroupResult:
        if net.before:
            after = all(self._reads(row, image) for row, image in net.after.items())
            before = all(self._reads(row, image) for row, image in net.before.items())
        else:
            now = [(self._count(row, step), spans.get((row, step.column))) for row, step, _ in net.counts]
            after = all(span is not None and value == span[1] for value, span in now)
            before = all(span is not None and value == span[0] for value, span in now)
        if after and not before:
            entries = [
                JournalEntry(n, StepState.DONE, self._outcome(n, s))
                for s, n in zip(group.steps, group.numbers, strict=True)
            ]
            return GroupResult(StepState.DONE, "found to be done", entries)
        if before and not after:
            return GroupResult(StepState.PLANNED, "", [])
        note = "the rows match neither the state before nor the state after the step"
        return GroupResult(
            StepState.IN_DOUBT, note, [JournalEntry(n, StepState.IN_DOUBT, None, note) for n in group.numbers]
        )

    def _reads(self, row: _Row, image: _Image) -> bool:
        found = self._rows.get(row, [])
        if image is None:
            return not found
        return len(found) == 1 and all(found[0][column] == value for column, value in image.items())

    def _count(self, row: _Row, step: BumpRow) -> Any:
        found = self._rows.get(row, [])
        return found[0][step.column] if len(found) == 1 else None

    def _spans(self, nets: Sequence[_Net]) -> dict[tuple[_Row, str], tuple[int, int]]:
        """The value of each counter before the transaction, and after all of it."""
        found: dict[tuple[_Row, str], tuple[int, int]] = {}
        for row, step, number in (count for net in nets for count in net.counts):
            if number in self._counted:
                first = found.get((row, step.column), ((self._images[number] or {})["value"], 0))[0]
                found[row, step.column] = (first, self._counted[number])
        return found

    def _outcome(self, number: int, step: Any) -> RowImage | None:
        if isinstance(step, InsertRow):
            key = self._connections.table(step.database, step.table).key
            found = self._rows[_place(step, step.key)][0]
            return {"pk": {column: found[column] for column in key}}
        return {"value": self._counted[number]} if number in self._counted else None


def _place(step: Any, values: Mapping[str, Any], connections: Connections | None = None) -> _Row:
    by = tuple(values)
    if connections is not None:
        by = connections.table(step.database, step.table).key or by
    return step.database, step.table, by, tuple([values[c] for c in by])
