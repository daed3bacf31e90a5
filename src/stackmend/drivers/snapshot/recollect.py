# SPDX-License-Identifier: Apache-2.0
"""Reads again only the rows that decide a few findings, into a small DuckDB."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from stackmend.drivers.database.dialects import Address, Connection, Dialect
from stackmend.drivers.database.rows import NO_RIGHT, Connections
from stackmend.drivers.snapshot.decoder import Complaints, Decoder
from stackmend.drivers.snapshot.query import DuckQuery
from stackmend.drivers.snapshot.selects import Select, select, unseen
from stackmend.drivers.snapshot.shape import DERIVED, schema
from stackmend.model.check import NEWEST
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import CELL, UNREADABLE, Source
from stackmend.tables import Table, tables
from stackmend.tables.nova import VIFS
from stackmend.tables.outside import outside

_CHUNK = 500  # values in a list of SQL
#: stands for the condition that narrows a SELECT, and the condition that does not
_NARROW, _ALL = "\x01", "1 = 1"
_SAMPLE = 300  # rows of a database for NEWEST
_FEW = 20_000  # rows in all that are joined without a plan for each step


@dataclass(frozen=True, slots=True)
class Newest:
    """Instead of values: those of the newest rows by this column; ``where`` is a condition on a row ``s``."""

    column: str
    where: str

    def condition(self, dialect: Dialect, table: str) -> str:
        """The condition on a row ``t``. The outermost SELECT is for MariaDB, which does not support LIMIT inside IN."""
        own = dialect.quote(self.column)
        rows = f"SELECT s.{own} FROM {table} s WHERE {self.where or '1 = 1'} ORDER BY s.{own} DESC LIMIT {_SAMPLE}"
        return f"t.{own} IN (SELECT newest.{own} FROM ({rows}) newest)"


@dataclass(frozen=True, slots=True)
class _How:
    """How to read some rows of one table of one database."""

    hidden: tuple[str, ...]  #: columns that the account may not see
    narrow: Select | None  #: with :data:`_NARROW` in place of a condition; None if the release has no such table
    key: tuple[str, ...]


class TableRead(Protocol):
    """One read of tables that are not in a database."""

    def read(self, label: str, wanted: Mapping[str, Sequence[object]] | None) -> pa.Table:
        """The rows with these values (column -> values), all for None; SourceError if they cannot be read."""
        ...


class TableSource(Protocol):
    """The source of tables that are not in a database: the services' APIs."""

    def serves(self, label: str) -> bool:
        """Whether this table is read there."""
        ...

    def look(self, findings: Sequence[Mapping[str, object]]) -> TableRead:
        """A new read for these findings."""
        ...

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> list[Source]:
        """Read whole tables into a snapshot, in addition to those of databases."""
        ...

    def now(self) -> str:
        """UTC now."""
        ...


class Recollection:
    """One narrow read of the databases: a fresh consistent view of each, closed at the end."""

    def __init__(
        self, addresses: Mapping[str, Address], connections: Connections, elsewhere: TableSource | None = None
    ) -> None:
        self._addresses, self._connections, self._elsewhere = addresses, connections, elsewhere
        self._viewed: set[str] = set()
        self._tables: dict[str, pa.Table] = {}
        self._complaints = Complaints()

    def query(
        self,
        reads: Mapping[str, Mapping[str, str]],
        findings: Sequence[Mapping[str, object]],
        spares: Collection[str] = (),
    ) -> DuckQuery:
        """The tables of ``reads``, narrowed to the scopes of ``findings``; ``spares`` need not be read."""
        look = self._elsewhere.look(findings) if self._elsewhere else None
        try:
            for label, scope in _ordered(reads):
                if label == UNREADABLE:
                    self._reread(findings)
                elif look is not None and self._elsewhere and self._elsewhere.serves(label):
                    with suppress(*(SourceError,) * (label in spares)):
                        self._tables[label] = look.read(label, self._values(scope, findings))
                elif label not in outside():  # else it was not read, and only adds to what is shown
                    self._read(label, self._values(scope, findings))
            self._tables[UNREADABLE] = self._complaints.table()
            now = self._now()
        finally:
            for database in self._viewed:
                self._connections.leave(database)
        duck = DuckQuery(few=sum(table.num_rows for table in self._tables.values()) < _FEW)
        present = set(reads) | {UNREADABLE}
        for label in present:
            duck.add(label, self._tables.get(label, schema(label).empty_table()))
        duck.ready(now, present)
        return duck

    def _values(
        self, scope: Mapping[str, str], findings: Sequence[Mapping[str, object]]
    ) -> dict[str, list[object]] | None:
        """Column -> the values wanted; None for the whole table."""
        if not scope:
            return None
        wanted: dict[str, list[object]] = {}
        for column, origin in scope.items():
            if origin.startswith(NEWEST):
                wanted[column] = [Newest(column, origin.removeprefix(NEWEST))]
                continue
            if "." in origin:
                label, name = origin.split(".")
                values = self._tables[label].column(name).to_pylist() if label in self._tables else []
            else:
                values = [finding[origin] for finding in findings]
            wanted[column] = list(dict.fromkeys(v for v in values if v is not None))
        return wanted

    def _read(self, label: str, wanted: dict[str, list[object]] | None) -> None:
        base = DERIVED.get(label, label)
        found: dict[str, list[pa.Table]] = {base: [schema(base).empty_table()], label: [schema(label).empty_table()]}
        for part in tables()[base]:
            for database in self._databases(part):
                self._read_part(part, database, wanted, found)
        for name in (label,):
            self._tables[name] = pa.concat_tables(found[name])

    def _read_part(
        self, part: Table, database: str, wanted: dict[str, list[object]] | None, found: dict[str, list[pa.Table]]
    ) -> None:
        dialect, connection = self._view(database)
        # a table is read again for one check after another: how is worked out once
        how = self._connections.concluded(database, id(part), lambda: self._how(part, database, dialect))
        if how.hidden:
            what = f"table {part.name}" if "*" in how.hidden else f"{part.name}.{', '.join(how.hidden)}"
            raise SourceError(f"the account may not see {what} in database {database}", NO_RIGHT)
        if how.narrow is None:
            if part.optional:
                return
            raise SourceError(f"database {database} has no table {part.name}", "Its schema is not supported.")
        lacking = set(wanted or ()) - {c.name for c in part.columns}
        if lacking:
            raise SourceError(f"table {part.label} cannot be narrowed by {', '.join(sorted(lacking))}")
        rows: list[tuple[object, ...]] = []
        qualified = dialect.qualified(self._addresses[database], part.name)
        types = dict.fromkeys("ts", self._connections.table(database, part.name).columns)
        for narrow, parameters in _conditions(dialect, qualified, part, wanted):
            sql = how.narrow.plain.replace(_NARROW, dialect.adapted(narrow, types) or _ALL)
            sql = sql.replace("%", "%%") if dialect.placeholder == "%s" else sql
            rows += dialect.select(connection, sql.replace("\x00", dialect.placeholder), parameters)
        if rows:
            self._decode(Decoder(how.narrow, database, how.key, self._complaints), rows, part.label, found)

    def _how(self, part: Table, database: str, dialect: Dialect) -> _How:
        known = self._connections.tables(database)
        hidden = unseen(part, known, self._connections.sight(database))
        narrow = None if hidden else select(dialect, self._addresses[database], part, known, _NARROW)
        return _How(hidden, narrow, known[part.name].key if narrow else ())

    @staticmethod
    def _decode(decoder: Decoder, rows: list[tuple[object, ...]], label: str, found: dict[str, list[pa.Table]]) -> None:
        with closing(decoder):
            table, vifs = decoder.decode(rows, is_packed=False)
        found.setdefault(label, []).append(table)
        if vifs is not None and VIFS.label in found:
            found[VIFS.label].append(vifs)

    def _reread(self, findings: Sequence[Mapping[str, object]]) -> None:
        """Read undecodable rows again: those still wrong produce a complaint again."""
        for finding in findings:
            key = json.loads(str(finding["row_key"]))
            for parts in tables().values():
                for part in parts:
                    if part.name == finding["table_name"] and finding["database"] in self._databases(part):
                        wanted = {name: [value] for name, value in key.items()}
                        if set(wanted) <= {c.name for c in part.columns}:
                            self._read_part(part, finding["database"], wanted, {part.label: []})

    def _databases(self, part: Table) -> list[str]:
        found = [name for name in self._addresses if part.service == ("nova" if name.startswith(CELL) else name)]
        if not found:
            raise SourceError(f"no database of {part.service} is configured", "See [databases] in the TOML file.")
        return found

    def _view(self, database: str) -> tuple[Dialect, Connection]:
        if database not in self._viewed:
            self._connections.view(database)
            self._viewed.add(database)
        return self._connections.get(database)

    def _now(self) -> str:
        if not self._addresses and self._elsewhere is not None:
            return self._elsewhere.now()
        name = "nova_api" if "nova_api" in self._addresses else min(self._addresses)
        dialect, connection = self._view(name)
        return dialect.utcnow(connection)


def _ordered(reads: Mapping[str, Mapping[str, str]]) -> list[tuple[str, Mapping[str, str]]]:
    """Tables ordered so that every scope follows the table it references; otherwise in declared order."""
    left, done = dict(reads), []
    while left:
        ready = [
            label
            for label, scope in left.items()
            if all(origin.split(".")[0] not in left or "." not in origin for origin in scope.values())
        ]
        done += [(label, left.pop(label)) for label in ready or list(left)]
    return done


def _conditions(
    dialect: Dialect, qualified: str, part: Table, wanted: dict[str, list[object]] | None
) -> list[tuple[str, list[object]]]:
    """Conditions with their parameters; a NUL stands for the placeholder. Empty if nothing is wanted."""
    if wanted is None:
        return [("", [])]
    if any(not values for values in wanted.values()):
        return []
    if newest := [value for values in wanted.values() for value in values if isinstance(value, Newest)]:
        return [(" AND ".join(one.condition(dialect, qualified) for one in newest), [])]
    names = {c.name: c.expr or f"t.{dialect.quote(c.name)}" for c in part.columns}
    if not dialect.folds:
        wanted = {column: _lettered(values) for column, values in wanted.items()}
    (first, values), *others = sorted(wanted.items(), key=lambda item: -len(item[1]))
    rest = [f"{names[c]} IN ({_marks(v)})" for c, v in others]
    more = [value for _, v in others for value in v]
    conditions = []
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        condition = " AND ".join([f"{names[first]} IN ({_marks(chunk)})", *rest])
        conditions.append((condition, chunk + more))
    return conditions


def _lettered(values: Sequence[object]) -> list[object]:
    """The values, also in lower and upper case: for a database with case-sensitive comparison."""
    found = [form for v in values for form in ((v, v.lower(), v.upper()) if isinstance(v, str) else (v,))]
    return list(dict.fromkeys(found))


def _marks(values: Sequence[object]) -> str:
    return ", ".join(["\x00"] * len(values))
