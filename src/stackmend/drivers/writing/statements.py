# SPDX-License-Identifier: Apache-2.0
"""Statements that write many rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from stackmend.drivers.database.dialects.base import Dialect
from stackmend.drivers.database.rows import CHUNK, matching
from stackmend.drivers.writing.batch import Pk, Slot
from stackmend.model.step import Value

#: bytes of values per statement: servers refuse larger packets than max_allowed_packet (16 MiB by default)
_BYTES = 4 << 20
#: parameters per statement (SQLite allows 32,766)
_PARAMETERS = 20_000
#: up to this number of different new values, one statement each; beyond it, CASE is faster
#: (docs/explanation/performance.md)
_DISTINCT = 4
_Item = tuple[Pk, Mapping[str, Value]]  #: a row and its new values


class Statement(NamedTuple):
    """One statement and the number of rows it must match."""

    sql: str
    parameters: Sequence[object]
    rows: int


def statements(dialect: Dialect, slot: Slot) -> Iterator[Statement]:
    """The statements that write the rows of a slot."""
    if slot.shape.kind == "delete":
        head = f"DELETE FROM {dialect.quote(slot.shape.table)} WHERE "
        for part in _parts(slot.items, 1):
            yield from _where(dialect, head, [], slot.shape.key, [pk for pk, _ in part])
    elif slot.shape.kind == "bump":
        yield from _count(dialect, slot)
    elif slot.shape.kind == "update":
        for part in _parts(slot.items, len(slot.shape.columns)):
            yield from _update(dialect, slot, part)


def insert(dialect: Dialect, table: str, rows: Sequence[Mapping[str, Value]]) -> Iterator[Statement]:
    """The statements that insert rows with the same columns."""
    columns = list(rows[0])
    head = f"INSERT INTO {dialect.quote(table)} ({', '.join(dialect.quote(c) for c in columns)}) VALUES "
    one = f"({', '.join([dialect.placeholder] * len(columns))})"
    for part in _parts([((), row) for row in rows], len(columns)):
        parameters = [row[c] for _, row in part for c in columns]
        yield Statement(head + ", ".join([one] * len(part)), parameters, len(part))


def _update(dialect: Dialect, slot: Slot, items: list[_Item]) -> Iterator[Statement]:
    columns, key = slot.shape.columns, slot.shape.key
    head = f"UPDATE {dialect.quote(slot.shape.table)} SET "
    same: dict[tuple[object, ...], list[Pk]] = {}
    for pk, after in items:
        same.setdefault(tuple([after[c] for c in columns]), []).append(pk)
        if len(same) > _DISTINCT:
            yield _cases(dialect, slot, items)
            return
    for values, pks in same.items():
        sets = ", ".join(f"{dialect.quote(c)} = {dialect.placeholder}" for c in columns)
        yield from _where(dialect, f"{head}{sets} WHERE ", list(values), key, pks)


def _cases(dialect: Dialect, slot: Slot, items: list[_Item]) -> Statement:
    """One UPDATE with a CASE for each column that gets different values in different rows."""
    shape, mark = slot.shape, dialect.placeholder
    sets, parameters = [], []
    keys = [dialect.quote(c) for c in shape.key]
    for column in shape.columns:
        name, values = dialect.quote(column), [after[column] for _, after in items]
        if all(value == values[0] for value in values):
            sets.append(f"{name} = {mark}")
            parameters.append(values[0])
        elif len(keys) == 1 and all(value == pk[0] for value, (pk, _) in zip(values, items, strict=True)):
            # Nova's soft delete, ``deleted = id`` (RW4)
            sets.append(f"{name} = {keys[0]}")
        elif len(keys) == 1:
            cases = f"CASE {keys[0]} {f'WHEN {mark} THEN {mark} ' * len(items)}END"
            sets.append(f"{name} = {dialect.typed(cases, shape.types[column])}")
            for value, (pk, _) in zip(values, items, strict=True):
                parameters += (pk[0], value)
        else:
            when = f"WHEN {' AND '.join(f'{k} = {mark}' for k in keys)} THEN {mark} "
            sets.append(f"{name} = {dialect.typed(f'CASE {when * len(items)}END', shape.types[column])}")
            for value, (pk, _) in zip(values, items, strict=True):
                parameters += (*pk, value)
    ((condition, more),) = matching(dialect, shape.key, [pk for pk, _ in items])
    sql = f"UPDATE {dialect.quote(shape.table)} SET {', '.join(sets)} WHERE {condition}"
    return Statement(sql, parameters + more, len(items))


def _count(dialect: Dialect, slot: Slot) -> Iterator[Statement]:
    """Counters: one statement for all rows changed by the same amount, however many steps count them."""
    name = dialect.quote(slot.shape.columns[0])
    total: dict[Pk, int] = {}
    for pk, delta in slot.items:
        total[pk] = total.get(pk, 0) + delta
    by: dict[int, list[Pk]] = {}
    for pk, delta in total.items():
        by.setdefault(delta, []).append(pk)
    for delta, pks in by.items():
        head = f"UPDATE {dialect.quote(slot.shape.table)} SET {name} = {name} + {dialect.placeholder} WHERE "
        yield from _where(dialect, head, [delta], slot.shape.key, pks)


def _where(dialect: Dialect, head: str, values: list[object], key: Sequence[str], pks: list[Pk]) -> Iterator[Statement]:
    for start in range(0, len(pks), CHUNK):
        part = pks[start : start + CHUNK]
        for condition, parameters in matching(dialect, key, part):
            yield Statement(head + condition, values + parameters, len(part))


def _parts(items: Sequence[_Item], width: int) -> Iterator[list[_Item]]:
    """The items in parts that fit into one statement."""
    most = max(1, min(CHUNK, _PARAMETERS // (2 * width + 2)))
    part: list[_Item] = []
    size = 0
    for item in items:
        values = item[1].values() if isinstance(item[1], Mapping) else ()
        weight = sum([len(v) for v in values if isinstance(v, str | bytes)])
        if part and (len(part) >= most or size + weight > _BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += weight
    if part:
        yield part
