# SPDX-License-Identifier: Apache-2.0
"""Conflicts between the actions of a plan: the later action waits for the next plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stackmend.model.plan import row_id
from stackmend.model.step import ApiCall, BumpRow, DeleteRow, ExpectRow, InsertRow, Step, UpdateRow

#: stands for every column of a row
_ALL = "*"


@dataclass(slots=True)
class _Use:
    """How an action uses a row."""

    seen: set[str] = field(default_factory=set)  #: columns that must have their planned values
    written: set[str] = field(default_factory=set)  #: columns that are set
    counted: set[str] = field(default_factory=set)  #: columns that are incremented, whatever their value

    def clashes(self, other: _Use) -> bool:
        """Whether one of the two would find a column changed by the other."""
        return (
            _meet(self.written, other.seen | other.written | other.counted)
            or _meet(other.written, self.seen | self.counted)
            or _meet(self.counted, other.seen)
            or _meet(other.counted, self.seen)
        )


def _meet(one: set[str], other: set[str]) -> bool:
    if not one or not other:
        return False
    return _ALL in one or _ALL in other or not one.isdisjoint(other)


class Conflicts:
    """The rows used by the actions of a plan so far."""

    def __init__(self) -> None:
        self._uses: dict[tuple[object, ...], _Use] = {}

    def admit(self, steps: Iterable[Step]) -> str:
        """Record the steps and return "", or return the table in which they conflict with earlier ones."""
        mine: dict[tuple[object, ...], _Use] = {}
        for step in steps:
            if isinstance(step, UpdateRow | DeleteRow | ExpectRow | BumpRow | InsertRow):
                _note(mine.setdefault(row_id(step), _Use()), step)
            elif isinstance(step, ApiCall):
                mine.setdefault(("api", *step.operation.changes), _Use()).written.add(_ALL)
        for row, use in mine.items():
            if row in self._uses and use.clashes(self._uses[row]):
                return str(row[1])
        for row, use in mine.items():
            known = self._uses.setdefault(row, _Use())
            known.seen |= use.seen
            known.written |= use.written
            known.counted |= use.counted
        return ""


def _note(use: _Use, step: UpdateRow | DeleteRow | ExpectRow | BumpRow | InsertRow) -> None:
    if isinstance(step, UpdateRow):
        use.seen |= set(step.before)
        use.written |= set(step.after)
    elif isinstance(step, BumpRow):
        use.counted.add(step.column)
    elif isinstance(step, ExpectRow):
        use.seen |= set(step.expect)
    else:
        use.written.add(_ALL)
