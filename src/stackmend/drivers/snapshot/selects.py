# SPDX-License-Identifier: Apache-2.0
"""The SELECTs that collect a table: only needed columns, never *, nothing that the release lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stackmend.drivers.database.dialects import Address, Dialect, TableInfo
from stackmend.drivers.database.dialects.rights import Visibility
from stackmend.drivers.snapshot.decode import NULL, SEPARATOR
from stackmend.model.snapshot import CELL
from stackmend.tables import Column, ColumnType, Table, tables

# the tables' small SQL fragments; compared with a parser by the tests (docs/adr/0039), whose import would delay audits
_OWN = re.compile(r"\bt\.(\w+)")
_JOINED = re.compile(r"JOIN (\w+) (\w+) ON")
_NAMED = re.compile(r"\b([a-z])\.(\w+)")
#: a database with this share of a service's tables belongs to that service
_MOST = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """How to read one table of one database."""

    table: Table
    columns: tuple[Column, ...]  #: without network_info
    document: bool  #: network_info is a separate last value
    plain: str  #: SQL with one value per column
    packed: str  #: SQL with one text for all columns


def read_columns(table: Table) -> dict[str, frozenset[str]]:
    """Each table that is read to collect one, with the columns that are read of it."""
    names = {"t": table.name} | {alias: name for name, alias in _JOINED.findall(table.join)}
    told = _NAMED.findall(" ".join((table.join, table.where, table.group, *(column.expr for column in table.columns))))
    told += [("t", column.name) for column in table.columns if not column.expr]
    told += _NAMED.findall(" ".join(table.absent.values()))
    found: dict[str, set[str]] = {}
    for alias, column in told:
        if alias in names:
            found.setdefault(names[alias], set()).add(column)
    return {name: frozenset(columns) for name, columns in found.items()}


def service_of(names: Iterable[str]) -> str:
    """The service most of whose tables these are; "" if there is none."""
    there = set(names)
    shares = {service: len(some & there) / len(some) for service, some in _names().items()}
    best = max(shares, key=lambda service: shares[service])
    return best if shares[best] >= _MOST else ""


def _names() -> dict[str, set[str]]:
    """The tables of each service."""
    names: dict[str, set[str]] = {}
    for part in (part for parts in tables().values() for part in parts):
        names.setdefault(part.service, set()).add(part.name)
    return names


def foreign(database: str, known: Iterable[str]) -> str:
    """A sentence naming the service whose tables a database has, if it lacks most of its own; else ""."""
    own = "nova" if database.startswith(CELL) else database
    there = set(known)
    shares = {service: len(some & there) / len(some) for service, some in _names().items()}
    best = max(shares, key=lambda service: (shares[service], service == own))
    if best == own or shares[best] < _MOST or shares.get(own, 0) >= _MOST:
        return ""
    what = {"nova": "a cell's", "nova_api": "nova_api's"}.get(best, f"{best.capitalize()}'s")
    return f"it contains {what} tables: is it the wrong database?"


def missing(table: Table, known: Mapping[str, TableInfo]) -> tuple[str, ...]:
    """Columns that the table should have and this release lacks; () if complete.

    ("*",) when the table itself is missing, or a column that selects its rows.
    """
    table = _of_release(table, known)
    info = known.get(table.name)
    if info is None or not _selectable(table, known):
        return () if table.optional else ("*",)
    return tuple(c.name for c in table.columns if not c.optional and not _present(c, info))


def unseen(table: Table, known: Mapping[str, TableInfo], sight: Visibility) -> tuple[str, ...]:
    """Columns that are not visible and may be hidden from the account; ("*",) if the table may be hidden.

    A column missing in a fully visible table does not exist: that is :func:`missing`, or a release without it.
    """
    names = {"t": table.name} | {alias: name for name, alias in _JOINED.findall(table.join)}
    if any(name not in known and not sight.everything for name in names.values()):
        return ("*",)
    told = _NAMED.findall(f"{table.join} {table.where}")
    if any(_hidden(c, known[names[a]], sight.whole(names[a])) for a, c in told if names[a] in known):
        return ("*",)
    info = known.get(table.name)
    if info is None:
        return ()
    whole = sight.whole(table.name)
    return tuple(column.name for column in table.columns if any(_hidden(c, info, whole) for c in _parts(column)))


def select(
    dialect: Dialect, address: Address, table: Table, known: Mapping[str, TableInfo], narrow: str = ""
) -> Select | None:
    """The SELECT of a table; None if the release has no such table. ``narrow`` is an additional condition."""
    table = _of_release(table, known)
    info = known.get(table.name)
    if info is None or not _selectable(table, known):
        return None
    columns = tuple(c for c in table.columns if c.kind is not ColumnType.NETWORK_INFO)
    named = {"t": table.name, "s": table.name} | {alias: name for name, alias in _JOINED.findall(table.join)}
    types = {alias: known[name].columns for alias, name in named.items()}
    document = any(c.kind is ColumnType.NETWORK_INFO and _present(c, info) for c in table.columns)
    values = [_value(dialect, c) if _present(c, info) else "NULL" for c in columns]
    source = f"FROM {dialect.qualified(address, table.name)} t"
    if table.join:
        source += " " + _JOINED.sub(
            lambda m: f"JOIN {dialect.qualified(address, m.group(1))} {m.group(2)} ON", table.join
        )
    conditions = [c for c in (table.where, narrow) if c]
    if conditions:
        source += " WHERE " + " AND ".join(f"({c})" for c in conditions)
    if table.group:
        source += f" GROUP BY {table.group}"
    source = dialect.adapted(source, types)
    values = [dialect.adapted(value, types) for value in values]
    more = f", t.{dialect.quote('network_info')}" if document else ""
    text = ", ".join(dialect.as_text(v, NULL) for v in values)
    return Select(
        table=table,
        columns=columns,
        document=document,
        plain=f"SELECT {', '.join(values)}{more} {source}",
        packed=f"SELECT CONCAT_WS('{SEPARATOR}', {text}){more} {source}",
    )


def _of_release(table: Table, known: Mapping[str, TableInfo]) -> Table:
    """The table with what its release lacks replaced by what that means there."""
    info = known.get(table.name)
    lacking = {name: sql for name, sql in table.absent.items() if info and not {name} & {*info.columns, *info.hidden}}
    if not lacking:
        return table

    def meant(sql: str) -> str:
        return _OWN.sub(lambda m: f"({lacking[m[1]]})" if m[1] in lacking else m[0], sql)

    columns = tuple(
        replace(c, expr=meant(c.expr) if c.expr else f"({lacking[c.name]})") if c.expr or c.name in lacking else c
        for c in table.columns
    )
    return replace(table, columns=columns, where=meant(table.where))


def _selectable(table: Table, known: Mapping[str, TableInfo]) -> bool:
    """Whether every table and column of the join and of the condition exists."""
    called = {"t": table.name} | {alias: name for name, alias in _JOINED.findall(table.join)}
    return all(name in known for name in called.values()) and all(
        column in known[called[alias]].columns for alias, column in _NAMED.findall(f"{table.join} {table.where}")
    )


def _value(dialect: Dialect, column: Column) -> str:
    if column.expr:
        return f"({column.expr})"
    own = f"t.{dialect.quote(column.name)}"
    return f"({own} <> 0)" if column.kind is ColumnType.DELETED else own


def _present(column: Column, info: TableInfo) -> bool:
    return all(name in info.columns for name in _parts(column))


def _parts(column: Column) -> Sequence[str]:
    """The table's own columns that it is made of."""
    return _OWN.findall(column.expr) if column.expr else [column.name]


def _hidden(column: str, info: TableInfo, whole: bool) -> bool:
    """Whether a column may exist that the account may not read."""
    return column in info.hidden or (column not in info.columns and not whole)
