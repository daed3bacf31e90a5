# SPDX-License-Identifier: Apache-2.0
"""The row steps of one transaction: which rows to lock, which groups may proceed, what to write.

This is pure bookkeeping between the locked rows and the statements; :mod:`stackmend.drivers.writing.writer` talks to
the database. A batch has hundreds of groups, so whatever depends only on a step's kind, table and columns is determined
once (:class:`Shape`), and steps of the same shape become one statement.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stackmend.drivers.database.dialects.base import TableInfo
from stackmend.model.errors import SourceError, StackmendError
from stackmend.model.journal import JournalEntry
from stackmend.model.protocols import Reference
from stackmend.model.step import (
    BumpRow,
    DeleteRow,
    ExpectNone,
    ExpectRow,
    InsertRow,
    Record,
    RowStep,
    StepState,
    UpdateRow,
    Value,
    writes,
)
from stackmend.model.writer import Group
from stackmend.tables import secret_columns

Pk = tuple[Value, ...]
#: the journal's record of an executed step: {"pk": ...}, {"row": ..., "sealed": ...}, {"value": ...}
RowImage = dict[str, object]
TableName = tuple[str, str]  #: database and table
Spot = tuple[str, str, Pk]  #: a row: database, table, primary key
RowLookup = tuple[str, str, tuple[str, ...]]  #: database, table, columns: a query for rows with given values


@dataclass(slots=True, eq=False)
class Shape:
    """The common part of steps of one kind on one table with the same columns."""

    kind: str
    database: str
    table: str
    key: tuple[str, ...]  #: the primary key, or the columns the step names if the table has none
    columns: tuple[str, ...]  #: written: those of ``after``, of ``values``, or the counter
    reads: tuple[str, ...]  #: to be read with the row
    types: Mapping[str, str] = field(default_factory=dict)  #: of all columns
    secrets: frozenset[str] = frozenset()
    #: foreign keys through which other rows would be deleted or changed with the row
    referring: tuple[Reference, ...] = ()
    problem: str = ""  #: why such a step cannot be executed here


@dataclass(slots=True)
class Slot:
    """Writes of one shape, which become one statement (or a few, by size)."""

    shape: Shape
    #: (primary key, or values of the identifying columns of a new row; after, values or delta)
    items: list[tuple[Pk, Any]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  #: of the steps
    pks: set[Pk] = field(default_factory=set)


class Schema(Protocol):
    """The descriptions of the tables. SourceError, with the reason, if unavailable."""

    def table(self, database: str, name: str) -> TableInfo: ...
    def referring(self, database: str, table: str, *, whole: bool = True) -> Sequence[Reference]: ...
    def triggers(self, database: str) -> Collection[str]: ...


class Batch:
    """Groups on one database that share a transaction.

    To use it: construct it; lock :attr:`closed`; read the rows of :attr:`touched` into
    :attr:`rows`; :meth:`follow` the foreign keys to them; read those of :attr:`asked` into :attr:`taken`;
    :meth:`judge`; journal :attr:`intents`; write :meth:`program`.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        schema: Schema,
        seal: Callable[[Record], str],
        left: Mapping[tuple[Spot, str], int],
    ) -> None:
        self.groups = groups
        self._schema, self._seal = schema, seal
        self._shapes: dict[tuple[Value, ...], Shape] = {}
        self.touched: dict[TableName, dict[Pk, None]] = {}
        self.reads: dict[TableName, dict[str, None]] = {}
        self.keys: dict[TableName, tuple[str, ...]] = {}
        self.asked: dict[RowLookup, dict[Pk, None]] = {}
        self.closed: dict[str, set[str]] = {}  #: database -> tables to which nobody may add a row meanwhile
        self.rows: dict[Spot, Record] = {}
        self.taken: dict[tuple[RowLookup, Pk], list[Record]] = {}
        self.left = dict(left)  #: the value this run last left in a counter that it undoes
        self.values: dict[int, int] = {}  #: number of a counting step -> value of the counter after it
        self.intents: list[JournalEntry] = []
        self.stale: dict[int, str] = {}  #: index of a group -> why its rows are not as planned
        self.broken: dict[int, str] = {}  #: index of a group -> why it can never be executed
        self.later: list[int] = []  #: indexes of groups that touch a row of an earlier one: for another transaction
        self.accepted: list[int] = []
        self._slots: dict[int, list[Slot]] = {}
        self._written: set[Spot] = set()
        self._counted: set[Spot] = set()
        for index, group in enumerate(groups):
            self._need(index, group)

    def _need(self, index: int, group: Group) -> None:
        """Record what has to be read for a group."""
        for step in group.steps:
            shape = self.shape(step)
            if shape.problem:
                self.broken[index] = shape.problem
                continue
            closed = self.closed.setdefault(shape.database, set())
            closed.update(reference.table for reference in shape.referring)
            if shape.kind in ("insert", "expect-none"):
                closed.add(shape.table)
                where: Mapping[str, Value] = step.key if isinstance(step, InsertRow) else step.where  # type: ignore[attr-defined]
                asked = (shape.database, shape.table, shape.reads)
                self.asked.setdefault(asked, {})[tuple([where[c] for c in shape.reads])] = None
            else:
                place = (shape.database, shape.table)
                pk = step.pk  # type: ignore[attr-defined]
                self.touched.setdefault(place, {})[tuple([pk[c] for c in shape.key])] = None

    def shape(self, step: RowStep) -> Shape:
        """The shape of a step, created on first use."""
        sign: tuple[Value, ...]
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
            info = self._schema.table(step.database, step.table)
            referring = self._referring(step)
        except SourceError as problem:
            return Shape(step.kind, step.database, step.table, (), (), (), problem=error_text(problem))
        if isinstance(step, InsertRow | ExpectNone):
            given = step.key if isinstance(step, InsertRow) else step.where
            columns = tuple(step.values) if isinstance(step, InsertRow) else ()
            shape = Shape(step.kind, step.database, step.table, info.key, columns, tuple(given))
            named = {*given, *columns}
        else:
            pk: Mapping[str, Value] = step.pk  # type: ignore[attr-defined]
            key = info.key or tuple(sorted(pk))
            images, columns = _images(step)
            whole = info.columns if isinstance(step, DeleteRow) else images
            parents = dict.fromkeys(column for found in referring for column in found.parent_columns)
            reads = tuple({**dict.fromkeys(key), **dict.fromkeys(whole), **parents})
            shape = Shape(
                step.kind, step.database, step.table, key, columns, reads, types=info.columns, referring=referring
            )
            shape.secrets = secret_columns(step.database, step.table) & set(info.columns)
            named = {*pk, *images}
            if set(pk) != set(key):
                shape.problem = f"{step.table} has the primary key ({', '.join(key)}), but the step names {sorted(pk)}"
            elif isinstance(step, DeleteRow) and info.hidden:
                hidden = f"{step.table}.{', '.join(sorted(info.hidden))}"
                shape.problem = f"the account may not read {hidden}, without which undo could not restore the row"
            elif isinstance(step, UpdateRow) and not set(columns) <= set(step.before):
                shape.problem = f"a step on {step.table} sets columns that its before image lacks"
        if unknown := sorted(named - set(info.columns)):
            shape.problem = f"{step.table} in database {step.database} has no column {', '.join(unknown)}"
        elif writes(step) and step.table in self._schema.triggers(step.database):  # type: ignore[arg-type]
            more = "triggers (or rules, heirs, dependants in another schema)"
            shape.problem = f"{step.table} in database {step.database} has {more}, whose effects are unknown"
        return shape

    def _referring(self, step: RowStep) -> tuple[Reference, ...]:
        if isinstance(step, DeleteRow):
            return tuple(self._schema.referring(step.database, step.table))
        if isinstance(step, UpdateRow):
            changed = {c for c, value in step.after.items() if step.before.get(c) != value}
            key = self._schema.table(step.database, step.table).key
            # changing anything but a key does not require seeing every table of the database
            found = self._schema.referring(step.database, step.table, whole=not changed.isdisjoint(key))
            return tuple(reference for reference in found if not changed.isdisjoint(reference.parent_columns))
        return ()

    def follow(self) -> None:
        """Request the rows that would be deleted or changed along with rows that are deleted, or whose key changes."""
        for group in self.groups:
            for step in group.steps:
                shape = self.shape(step)
                for reference, values in self._dependants(step, shape):
                    asked = (shape.database, reference.table, reference.columns)
                    if not self.keys.get(asked[:2]):
                        self.keys[asked[:2]] = self.key_of(*asked[:2])
                    self.asked.setdefault(asked, {})[values] = None

    def _dependants(self, step: RowStep, shape: Shape) -> Iterator[tuple[Reference, Pk]]:
        if not shape.referring or shape.problem:
            return
        spot = (shape.database, shape.table, tuple([step.pk[c] for c in shape.key]))  # type: ignore[attr-defined]
        row = self.rows.get(spot)
        for reference in shape.referring if row else ():
            values = tuple([row[c] for c in reference.parent_columns])  # type: ignore[index]
            if None not in values:
                yield reference, values

    def key_of(self, database: str, table: str) -> tuple[str, ...]:
        """The columns that identify its rows: the primary key, else all columns."""
        info = self._schema.table(database, table)
        return info.key or tuple(sorted(info.columns))

    # -- judging

    def judge(self) -> None:
        """Decide in order which groups proceed, each seeing the effects of those before it."""
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
        """What to write, in an order that keeps each group's own: groups with the same pattern are merged."""
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


def _images(step: RowStep) -> tuple[dict[str, Value], tuple[str, ...]]:
    """(columns to compare, as keys; columns to write) of a step on an existing row."""
    if isinstance(step, UpdateRow):
        return dict.fromkeys((*step.before, *step.after)), tuple(step.after)
    if isinstance(step, BumpRow):
        return {step.column: None}, (step.column,)
    if isinstance(step, ExpectRow):
        return dict.fromkeys(step.expect), ()
    return dict.fromkeys(step.before), ()  # type: ignore[attr-defined]


class _Trial:
    """One group, evaluated on the rows as locked and as the groups before it leave them."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.overlay: dict[Spot, Record | None] = {}
        self.written: set[Spot] = set()
        self.counted: set[Spot] = set()
        self.left: dict[tuple[Spot, str], int] = {}
        self.values: dict[int, int] = {}
        self.intents: list[JournalEntry] = []
        self.slots: list[Slot] = []

    def meets_another(self, group: Group) -> bool:
        """True if an earlier group of the batch writes a row that this one touches, unless both only count."""
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
        """Why the group is stale, or "" if all of its steps can be executed."""
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
                raise TypeError(f"a {type(step).__name__} is not a row step")
            if reason:
                return reason
        return ""

    def _spot(self, pk: Mapping[str, Value], shape: Shape) -> Spot:
        return shape.database, shape.table, tuple([pk[c] for c in shape.key])

    def _row(self, spot: Spot) -> Record | None:
        if spot in self.overlay:
            return self.overlay[spot]
        return self._batch.rows.get(spot)

    def _same(self, row: Record | None, image: Mapping[str, Value], shape: Shape) -> str:
        if row is None:
            return f"the row of {shape.table} no longer exists"
        for column, value in image.items():
            if row[column] != value:
                # without the values: a column may hold something that must not appear in a log
                return f"{shape.table}.{column} no longer matches the plan"
        return ""

    def _write(
        self, shape: Shape, pk: Pk, value: object, number: int, image: Mapping[str, object] | None = None
    ) -> None:
        slots = self.slots
        if not slots or slots[-1].shape is not shape or pk in slots[-1].pks:
            slots.append(Slot(shape))
        slot = slots[-1]
        slot.items.append((pk, value))
        slot.numbers.append(number)
        slot.pks.add(pk)
        self.intents.append(JournalEntry(number, StepState.INTENT, image))

    def _update(self, step: UpdateRow, shape: Shape, number: int) -> str:
        spot = self._spot(step.pk, shape)
        row = self._row(spot)
        reason = self._same(row, step.before, shape) or self._refers(step, spot, shape, "change")
        if not reason:
            self.overlay[spot] = {**row, **step.after}  # type: ignore[dict-item]
            self.written.add(spot)
            self._write(shape, spot[2], step.after, number)
        return reason

    def _delete(self, step: DeleteRow, shape: Shape, number: int) -> str:
        spot = self._spot(step.pk, shape)
        row = self._row(spot)
        reason = self._same(row, step.before, shape) or self._refers(step, spot, shape, "go")
        if not reason and row is not None:
            self.overlay[spot] = None
            self.written.add(spot)
            image: RowImage = {}
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
            return f"the row of {shape.table} no longer exists"
        value, delta = row[step.column], step.by
        if not isinstance(value, int):
            return f"{shape.table}.{step.column} is not a number"
        if step.left is not None:
            ours = self.left.get((spot, step.column), self._batch.left.get((spot, step.column), step.left))
            delta = -step.by if value == ours else step.by
            self.left[spot, step.column] = value + delta
        if value + delta < 0:
            return f"{shape.table}.{step.column} is {value}: {delta} would make it negative"
        self.overlay[spot] = {**row, step.column: value + delta}
        self.counted.add(spot)
        self.values[number] = value + delta
        self._write(shape, spot[2], delta, number, {"value": value})
        return ""

    def _insert(self, step: InsertRow, shape: Shape, number: int) -> str:
        values = tuple([step.key[c] for c in shape.reads])
        if self._present((shape.database, shape.table, shape.reads), values):
            return f"{shape.table} already has the row to be inserted"
        self.written.add((shape.database, shape.table + "\0new", values))
        self._write(shape, values, step, number)
        return ""

    def _none(self, step: ExpectNone, shape: Shape) -> str:
        asked = (shape.database, shape.table, shape.reads)
        if self._present(asked, tuple([step.where[c] for c in shape.reads])):
            return f"{shape.table} now has a row that forbids it"
        return ""

    def _refers(self, step: RowStep, spot: Spot, shape: Shape, what: str) -> str:
        """Why the row must stay: another row would be deleted or changed with it that is not in the plan."""
        for reference, values in self._batch._dependants(step, shape):
            if self._present((shape.database, reference.table, reference.columns), values, but=spot):
                return f"{reference.table} now has a row that would {what} with one of {shape.table}"
        return ""

    def _present(self, asked: RowLookup, values: Pk, but: Spot | None = None) -> bool:
        """Whether a row (other than ``but``) has these values, after the effects of this group and those before it."""
        batch, place = self._batch, asked[:2]
        for found in batch.taken.get((asked, values), ()):
            spot = (*place, tuple([found[c] for c in batch.keys[place]]))
            before = batch.rows[spot] if spot in batch._written else found
            row = self.overlay.get(spot, before)
            if spot != but and row is not None and all(row.get(c, found[c]) == found[c] for c in asked[2]):
                return True
        return False


def error_text(problem: StackmendError) -> str:
    """The text of an error for the journal and the operator."""
    return f"{problem.message}. {problem.hint}" if problem.hint else problem.message
