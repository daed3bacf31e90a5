# SPDX-License-Identifier: Apache-2.0
"""The end of an undo: are the rows as they should be? A trigger, a default or another session may have interfered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stackmend.drivers.database.rows import Connections, fetch
from stackmend.drivers.writing.batch import Pk
from stackmend.drivers.writing.seal import Sealer
from stackmend.model.step import BumpRow, DeleteRow, InsertRow, Record, RowStep, UpdateRow, Value
from stackmend.model.writer import Group

#: database, table, columns that identify rows
_Place = tuple[str, str, tuple[str, ...]]


class Comparison:
    """The rows changed by groups on one database, each with its expected values after the last of them."""

    def __init__(self, connections: Connections, sealer: Sealer, groups: Sequence[Group]) -> None:
        self._connections, self._sealer = connections, sealer
        self._wanted: dict[_Place, dict[Pk, Mapping[str, Value] | None]] = {}
        self._counted: set[tuple[_Place, Pk, str]] = set()
        for group in groups:
            for step in group.steps:
                self._take(step)

    def differences(self) -> list[str]:
        """A sentence for each row that differs. SourceError if they cannot be read."""
        found: list[str] = []
        for place, rows in self._wanted.items():
            found += self._of(place, rows)
        return found

    def _take(self, step: RowStep) -> None:
        if isinstance(step, InsertRow):
            self._want(step, step.key, {**step.values, **(self._sealer.unseal(step.sealed) if step.sealed else {})})
        elif isinstance(step, DeleteRow):
            self._want(step, step.pk, None)
        elif isinstance(step, UpdateRow):
            place, pk = self._spot(step, step.pk)
            earlier = self._wanted.get(place, {}).get(pk) or {**step.before, **step.pk}
            moved = {column: step.after.get(column, value) for column, value in step.pk.items()}
            if moved != step.pk:
                self._want(step, step.pk, None)
            self._want(step, moved, {**earlier, **step.after})
        elif isinstance(step, BumpRow):
            self._counted.add((*self._spot(step, step.pk), step.column))

    def _want(self, step: RowStep, key: Mapping[str, Value], image: Mapping[str, Value] | None) -> None:
        place, pk = self._spot(step, key)
        self._wanted.setdefault(place, {})[pk] = image

    def _spot(self, step: RowStep, key: Mapping[str, Value]) -> tuple[_Place, Pk]:
        own = self._connections.table(step.database, step.table).key
        by = own if own and set(own) <= set(key) else tuple(sorted(key))
        return (step.database, step.table, by), tuple([key[column] for column in by])

    def _of(self, place: _Place, wanted: Mapping[Pk, Mapping[str, Value] | None]) -> list[str]:
        database, table, by = place
        columns = tuple(dict.fromkeys((*by, *(c for image in wanted.values() for c in image or ()))))
        dialect, connection = self._connections.get(database)
        try:
            rows = fetch(dialect, connection, table, columns, by, wanted, lock=dialect.for_share)
        finally:
            self._connections.leave(database)
        found: dict[Pk, Record] = {}
        for values in rows:
            row = dict(zip(columns, values, strict=True))
            found[tuple([row[column] for column in by])] = row
        told = []
        for pk, image in wanted.items():
            if why := self._differs(place, pk, image, found.get(pk)):
                # no values except those of a key: a column may hold something that must not be shown
                own = self._connections.table(database, table).key == by
                name = ", ".join(map(str, pk)) if own else "without a key"
                told.append(f"{table} ({name}) in database {database}: {why}")
        return told

    def _differs(self, place: _Place, pk: Pk, image: Mapping[str, Value] | None, row: Record | None) -> str:
        if image is None or row is None:
            return "" if image is None and row is None else "it exists" if row is not None else "it does not exist"
        other = [c for c, v in image.items() if row[c] != v and (place, pk, c) not in self._counted]
        return f"{', '.join(other)} differs from before the run" if other else ""
