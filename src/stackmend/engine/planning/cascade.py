# SPDX-License-Identifier: Apache-2.0
"""Rows that a database would delete or change together with a step, by the foreign keys of the live schema.

Such a row is a reason to refuse, whatever the rule of the key: CASCADE would delete it and SET NULL change it without
the plan, the journal or undo knowing, and RESTRICT would make the step fail. A repair names every row that it means to
delete, children first; then no row is left here. The writer checks again when the plan is applied, with locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stackmend.model.plan import row_id
from stackmend.model.protocols import Live, Reference
from stackmend.model.step import DeleteRow, InsertRow, Step, UpdateRow, Value

_Spot = tuple[str, str, tuple[tuple[str, Any], ...]]


def taken_along(steps: Iterable[Step], live: Live) -> str:
    """Why these steps would affect more rows than they name, or "". SourceError if that cannot be determined."""
    seen = _Seen(live)
    for step in steps:
        if isinstance(step, DeleteRow | UpdateRow) and (why := seen.refers(step)):
            return why
        seen.take(step)
    return ""


class _Seen:
    """The effect of the steps so far."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._rows: dict[_Spot, Mapping[str, Value] | None] = {}  #: known values of rows; None: deleted

    def take(self, step: Step) -> None:
        if isinstance(step, DeleteRow):
            self._rows[row_id(step)] = None
        elif isinstance(step, UpdateRow):
            spot = row_id(step)
            self._rows[spot] = {**(self._rows.get(spot) or {}), **step.after}
        elif isinstance(step, InsertRow):
            self._rows[row_id(step)] = step.values

    def refers(self, step: DeleteRow | UpdateRow) -> str:
        """Why the step must not be executed now, or ""."""
        known = {**step.before, **step.pk}
        for reference in self._live.references(step.database, step.table):
            named = reference.parent_columns
            if isinstance(step, UpdateRow):
                known |= step.before
                if all(c not in step.after or step.after[c] == step.before[c] for c in named):
                    continue
            if not set(named) <= set(known):
                return f"{reference.table} refers to columns of {step.table} that are not in the step"
            if (values := [known[c] for c in named]) and None not in values and (n := self._left(step, reference)):
                what = "be deleted with" if isinstance(step, DeleteRow) else "change with"
                rows = f"{n} row{'s' * (n > 1)} of {reference.table}"
                return f"{rows} would {what} a row of {step.table}, but the repair does not name them"
        return ""

    def _left(self, step: DeleteRow | UpdateRow, reference: Reference) -> int:
        """How many rows refer to the row of the step, after the effect of the steps before it."""
        database, table = step.database, reference.table
        known = {**step.pk, **step.before}
        where = {c: known[p] for c, p in zip(reference.columns, reference.parent_columns, strict=True)}
        found: set[_Spot] = set()
        for row in self._live.rows(database, table, where):
            key = self._live.key(database, table) or tuple(row)
            found.add((database, table, tuple(sorted((c, row[c]) for c in key))))
        found |= {spot for spot, row in self._rows.items() if spot[:2] == (database, table) and _reads(row, where)}
        found.discard(row_id(step))
        return sum(spot not in self._rows or _reads(self._rows[spot], where) for spot in found)


def _reads(row: Mapping[str, Value] | None, where: Mapping[str, Value]) -> bool:
    """Whether a row, as far as it is known, has these values."""
    return row is not None and all(row.get(column, value) == value for column, value in where.items())
