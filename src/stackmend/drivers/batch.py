# SPDX-License-Identifier: Apache-2.0
"""One transaction's worth of row steps: which rows to lock, which groups may go ahead, what is to be written.

Pure bookkeeping between the locked rows and the statements; :mod:`stackmend.drivers.writer` talks to the database.
There are hundreds of groups in a batch, so what depends on a step's kind, table and columns alone is worked out once
(:class:`Shape`), and steps of one shape become one statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackmend.drivers.dialects.base import TableInfo
from stackmend.model.errors import SourceError, StackmendError
from stackmend.model.journal import Entry
from stackmend.model.step import BumpRow, DeleteRow, ExpectNone, ExpectRow, InsertRow, RowStep, StepState, UpdateRow
from stackmend.model.writer import Group
from stackmend.tables import secret_columns

Pk = tuple[Any, ...]
Record = dict[str, Any]
Place = tuple[str, str]  #: database and table
Spot = tuple[str, str, Pk]  #: a row: database, table, primary key
Asked = tuple[str, str, tuple[str, ...]]  #: database, table, columns: are there rows that read so?


@dataclass(slots=True, eq=False)
class Shape:
    """What steps of one kind on one table with the same columns have in common."""

    kind: str
    database: str
    table: str
    key: tuple[str, ...]  #: the primary key, or what the step names where the table has none
    columns: tuple[str, ...]  #: written: of ``after``, of ``values``, or the counter
    reads: tuple[str, ...]  #: to be read with the row
    secrets: frozenset[str] = frozenset()
    problem: str = ""  #: why such a step cannot be made here


@dataclass(slots=True)
class Slot:
    """Writes of one shape that become one statement (or a few, by size)."""

    shape: Shape
    #: (primary key, or values of the identifying columns of a new row; after, values or delta)
    items: list[tuple[Pk, Any]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  #: of the steps
    pks: set[Pk] = field(default_factory=set)


class Batch:
    """Groups of one database that share a transaction.

    Construct; read the rows of :attr:`touched` into :attr:`rows` and those of :attr:`asked` into :attr:`taken`;
    :meth:`judge`; journal :attr:`intents`; write :meth:`program`.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        info: Callable[[str, str], TableInfo],
        seal: Callable[[Record], str],
        left: Mapping[tuple[Spot, str], int],
    ) -> None:
        self.groups = groups
        self._info, self._seal = info, seal
        self._shapes: dict[tuple[Any, ...], Shape] = {}
        self.touched: dict[Place, dict[Pk, None]] = {}
        self.reads: dict[Place, dict[str, None]] = {}
        self.keys: dict[Place, tuple[str, ...]] = {}
        self.asked: dict[Asked, dict[Pk, None]] = {}
        self.rows: dict[Spot, Record] = {}
        self.taken: dict[tuple[Asked, Pk], list[Record]] = {}
        self.left = dict(left)  #: what this run last left in a counter that it undoes
        self.values: dict[int, int] = {}  #: number of a counting step -> the counter after it
        self.intents: list[Entry] = []
        self.stale: dict[int, str] = {}  #: index of a group -> why its rows are not as planned
        self.broken: dict[int, str] = {}  #: index of a group -> why it can never be made
        self.later: list[int] = []  #: indexes of groups that touch a row of an earlier one: for another transaction
        self.accepted: list[int] = []
        self._slots: dict[int, list[Slot]] = {}
        self._written: set[Spot] = set()
        self._counted: set[Spot] = set()
        for index, group in enumerate(groups):
            self._need(index, group)

    def _need(self, index: int, group: Group) -> None:
        """Note what has to be read for a group."""
        for step in group.steps:
            shape = self.shape(step)
            if shape.problem:
                self.broken[index] = shape.problem
            elif shape.kind in ("insert", "expect-none"):
                where: Mapping[str, Any] = step.key if isinstance(step, InsertRow) else step.where  # type: ignore[attr-defined]
                asked = (shape.database, shape.table, shape.reads)
                self.asked.setdefault(asked, {})[tuple([where[c] for c in shape.reads])] = None
            else:
                place = (shape.database, shape.table)
                pk = step.pk  # type: ignore[attr-defined]
                self.touched.setdefault(place, {})[tuple([pk[c] for c in shape.key])] = None

    def shape(self, step: RowStep) -> Shape:
        """The shape of a step, made when it is met first."""
        sign: tuple[Any, ...]
        if isinstance(step, UpdateRow):
            sign = ("update", step.database, step.table, *step.pk, "", *step.before, "", *step.after)
        elif isinstance(step, BumpRow):
            sign = ("bump", step.database, step.table, *step.pk, "", step.column)
        elif isinstance(step, ExpectNone):
            sign = ("expect-none", step.database, step.table, *step.where)
        elif isinstance(step, InsertRow):
            sign = ("insert", step.database, step.table, *step.key, "", *step.values)
        else:
            images = step.before if isinstance(step, DeleteRow) else step.expect  # type: ignore[attr-defined]
            sign = (step.kind, step.database, step.table, *step.pk, "", *images)  # type: ignore[attr-defined]
        found = self._shapes.get(sign)
        if found is None:
            found = self._shapes[sign] = self._shape(step)
            place = (found.database, found.table)
            self.keys.setdefault(place, found.key)
            if found.kind not in ("insert", "expect-none"):
                self.reads.setdefault(place, {}).update(dict.fromkeys(found.reads))
        return found

    def _shape(self, step: RowStep) -> Shape:
        try:
            info = self._info(step.database, step.table)
        except SourceError as problem:
            return Shape(step.kind, step.database, step.table, (), (), (), problem=problem.message)
        if isinstance(step, InsertRow | ExpectNone):
            given = step.key if isinstance(step, InsertRow) else step.where
            columns = tuple(step.values) if isinstance(step, InsertRow) else ()
            shape = Shape(step.kind, step.database, step.table, info.key, columns, tuple(given))
            named = {*given, *columns}
        else:
            pk: Mapping[str, Any] = step.pk  # type: ignore[attr-defined]
            key = info.key or tuple(sorted(pk))
            images, columns = _images(step)
            reads = tuple(info.columns) if isinstance(step, DeleteRow) else tuple({**dict.fromkeys(key), **images})
            shape = Shape(step.kind, step.database, step.table, key, columns, reads)
            shape.secrets = secret_columns(step.database, step.table) & set(info.columns)
            named = {*pk, *images}
            if set(pk) != set(key):
                shape.problem = f"{step.table} has the primary key ({', '.join(key)}), the step names {sorted(pk)}"
            elif isinstance(step, UpdateRow) and not set(columns) <= set(step.before):
                shape.problem = f"a step on {step.table} sets columns that its before image lacks"
        if unknown := sorted(named - set(info.columns)):
            shape.problem = f"{step.table} in database {step.database} has no column {', '.join(unknown)}"
        return shape

    # -- judging

    def judge(self) -> None:
        """Decide which groups go ahead, in order, each one seeing what those before it do."""
        for index, group in enumerate(self.groups):
            if index in self.broken:
                continue
            trial = _Trial(self)
            if trial.meets_another(group):
                self.later.append(index)
                continue
            reason = trial.run(group)
            if reason:
                self.stale[index] = reason
                continue
            self.rows.update(trial.overlay)  # type: ignore[arg-type]
            self._written |= trial.written
            self._counted |= trial.counted
            self.left |= trial.left
            self.values |= trial.values
            self.intents += trial.intents
            self._slots[index] = trial.slots
            self.accepted.append(index)

    def program(self) -> list[Slot]:
        """What to write, in an order that keeps each group's own: groups of one pattern are laid side by side."""
        merged: dict[tuple[int, ...], list[Slot]] = {}
        for index in self.accepted:
            slots = self._slots[index]
            pattern = tuple([id(slot.shape) for slot in slots])
            together = merged.get(pattern)
            if together is None:
                merged[pattern] = slots
                continue
            for slot, more in zip(together, slots, strict=True):
                slot.items += more.items
                slot.numbers += more.numbers
        return [slot for slots in merged.values() for slot in slots]


def _images(step: RowStep) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(columns that are compared, as keys; columns that are written) of a step on an existing row."""
    if isinstance(step, UpdateRow):
        return dict.fromkeys((*step.before, *step.after)), tuple(step.after)
    if isinstance(step, BumpRow):
        return {step.column: None}, (step.column,)
    if isinstance(step, ExpectRow):
        return dict.fromkeys(step.expect), ()
    return dict.fromkeys(step.before), ()  # type: ignore[attr-defined]


class _Trial:
    """One group, tried on the rows as locked and as the groups before it leave them."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.overlay: dict[Spot, Record | None] = {}
        self.written: set[Spot] = set()
        self.counted: set[Spot] = set()
        self.left: dict[tuple[Spot, str], int] = {}
        self.values: dict[int, int] = {}
        self.intents: list[Entry] = []
        self.slots: list[Slot] = []

    def meets_another(self, group: Group) -> bool:
        """True when an earlier group of the batch writes a row that this one touches, unless both only count."""
        batch = self._batch
        if not batch._written and not batch._counted:
            return False
        for step in group.steps:
            if isinstance(step, UpdateRow | DeleteRow | ExpectRow | BumpRow):
                pk = step.pk
                spot = (step.database, step.table, tuple([pk[c] for c in batch.shape(step).key]))
                if spot in batch._written or (spot in batch._counted and not isinstance(step, BumpRow)):
                    return True
            elif isinstance(step, InsertRow):
                key = step.key
                values = tuple([key[c] for c in batch.shape(step).reads])
                if (step.database, step.table + "\0new", values) in batch._written:
                    return True
        return False

    def run(self, group: Group) -> str:
        """Why the group is stale, or "" when all of its steps can be made."""
        for step, number in zip(group.steps, group.numbers, strict=True):
            shape = self._batch.shape(step)
            if isinstance(step, UpdateRow):
                reason = self._update(step, shape, number)
            elif isinstance(step, BumpRow):
                reason = self._bump(step, shape, number)
            elif isinstance(step, DeleteRow):
                reason = self._delete(step, shape, number)
            elif isinstance(step, InsertRow):
                reason = self._insert(step, shape, number)
            elif isinstance(step, ExpectRow):
                reason = self._same(self._row(self._spot(step.pk, shape)), step.expect, shape)
            elif isinstance(step, ExpectNone):
                reason = self._none(step, shape)
            else:
                raise TypeError(f"a {type(step).__name__} is no row step")
            if reason:
                return reason
        return ""

    def _spot(self, pk: Mapping[str, Any], shape: Shape) -> Spot:
        return shape.database, shape.table, tuple([pk[c] for c in shape.key])

    def _row(self, spot: Spot) -> Record | None:
        if spot in self.overlay:
            return self.overlay[spot]
        return self._batch.rows.get(spot)

    def _same(self, row: Record | None, image: Mapping[str, Any], shape: Shape) -> str:
        if row is None:
            return f"the row of {shape.table} is gone"
        for column, value in image.items():
            if row[column] != value:
                # the values stay out of it: a column may hold what nobody should see in a log
                return f"{shape.table}.{column} is no longer what the plan shows"
        return ""

    def _write(self, shape: Shape, pk: Pk, value: Any, number: int, image: Mapping[str, Any] | None = None) -> None:
        slots = self.slots
        if not slots or slots[-1].shape is not shape or pk in slots[-1].pks:
            slots.append(Slot(shape))
        slot = slots[-1]
        slot.items.append((pk, value))
        slot.numbers.append(number)
        slot.pks.add(pk)
        self.intents.append(Entry(number, StepState.INTENT, image))

    def _update(self, step: UpdateRow, shape: Shape, number: int) -> str:
        spot = self._spot(step.pk, shape)
        row = self._row(spot)
        reason = self._same(row, step.before, shape)
        if not reason:
            self.overlay[spot] = {**row, **step.after}  # type: ignore[dict-item]
            self.written.add(spot)
            self._write(shape, spot[2], step.after, number)
        return reason

    def _delete(self, step: DeleteRow, shape: Shape, number: int) -> str:
        spot = self._spot(step.pk, shape)
        row = self._row(spot)
        reason = self._same(row, step.before, shape)
        if not reason and row is not None:
            self.overlay[spot] = None
            self.written.add(spot)
            image: Record = {}
            if rest := {c: v for c, v in row.items() if c not in step.before and c not in shape.secrets}:
                image["row"] = rest
            if secret := {c: row[c] for c in shape.secrets if row[c] is not None}:
                image["sealed"] = self._batch._seal(secret)
            self._write(shape, spot[2], None, number, image or None)
        return reason

    def _bump(self, step: BumpRow, shape: Shape, number: int) -> str:
        spot = self._spot(step.pk, shape)
        row = self._row(spot)
        if row is None:
            return f"the row of {shape.table} is gone"
        value, delta = row[step.column], step.by
        if not isinstance(value, int):
            return f"{shape.table}.{step.column} is no number"
        if step.left is not None:
            ours = self.left.get((spot, step.column), self._batch.left.get((spot, step.column), step.left))
            delta = -step.by if value == ours else step.by
            self.left[spot, step.column] = value + delta
        if value + delta < 0:
            return f"{shape.table}.{step.column} is {value}: {delta} would take it below nothing"
        self.overlay[spot] = {**row, step.column: value + delta}
        self.counted.add(spot)
        self.values[number] = value + delta
        self._write(shape, spot[2], delta, number, {"value": value})
        return ""

    def _insert(self, step: InsertRow, shape: Shape, number: int) -> str:
        values = tuple([step.key[c] for c in shape.reads])
        if self._present(shape, values):
            return f"{shape.table} has a row already where one is to be inserted"
        self.written.add((shape.database, shape.table + "\0new", values))
        self._write(shape, values, step, number)
        return ""

    def _none(self, step: ExpectNone, shape: Shape) -> str:
        if self._present(shape, tuple([step.where[c] for c in shape.reads])):
            return f"{shape.table} has a row by now that forbids it"
        return ""

    def _present(self, shape: Shape, values: Pk) -> bool:
        """Whether a row reads so, after what this group has done before."""
        place = (shape.database, shape.table)
        for found in self._batch.taken.get(((*place, shape.reads), values), ()):
            spot = (*place, tuple([found[c] for c in shape.key]))
            row = self.overlay.get(spot, found)
            if row is not None and all(row.get(c, found[c]) == found[c] for c in shape.reads):
                return True
        return False


def cannot(problem: StackmendError) -> str:
    """The text of an error for the journal and the operator."""
    return f"{problem.message}. {problem.hint}" if problem.hint else problem.message
