# SPDX-License-Identifier: Apache-2.0
"""Reads rows by lists of values: shared by the live port, the writer and its probes."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

from stackmend.drivers.database.dialects import dialect_of
from stackmend.drivers.database.dialects.base import Address, Connection, Dialect, TableInfo
from stackmend.drivers.database.dialects.rights import Visibility
from stackmend.drivers.database.transactions import back_out
from stackmend.model.errors import SilentError, SourceError
from stackmend.model.protocols import Reference
from stackmend.model.step import Value

_T = TypeVar("_T")

#: values per statement; SQLite allows 32,766 parameters, and the optimisers give up on much longer lists
CHUNK = 500
#: seconds for which a database that did not even send its greeting is not tried again
_SILENT = 60.0


NO_RIGHT = "Grant it what 'stackmend config grants' prints; 'stackmend config check' says what is missing."


class Connections:
    """Connections to the databases of a cloud, opened when first needed, with their table descriptions."""

    def __init__(self, addresses: Mapping[str, Address], errors: Mapping[str, str], *, write: bool = False) -> None:
        self._addresses, self._errors, self._write = addresses, errors, write
        self._open: dict[str, tuple[Dialect, Connection]] = {}
        self._tables: dict[str, dict[str, TableInfo]] = {}
        self._silent: dict[str, tuple[float, SilentError]] = {}
        self._sights: dict[str, Visibility] = {}
        self._referring: dict[str, dict[str, list[Reference]]] = {}
        self._triggers: dict[str, frozenset[str]] = {}
        self._concluded: dict[tuple[str, Hashable], object] = {}

    def get(self, database: str) -> tuple[Dialect, Connection]:
        """Dialect and connection; SourceError when the database is not configured or not reachable."""
        found = self._open.get(database)
        if found is None:
            address = self._addresses.get(database)
            if address is None:
                raise SourceError(
                    f"database {database} cannot be read: {self._errors.get(database, 'it is not configured')}",
                    "Check [databases] in the TOML file, and 'nova-manage cell_v2 list_cells' for cells.",
                )
            dialect = dialect_of(address)
            found = self._open[database] = (dialect, self._connected(database, dialect, address))
        return found

    def _connected(self, database: str, dialect: Dialect, address: Address) -> Connection:
        """A new connection; a hundred requests wait only once for a frozen server."""
        until, problem = self._silent.get(database, (0.0, None))
        if problem is not None and time.monotonic() < until:
            raise SilentError(problem.message, problem.hint)
        try:
            return dialect.connect(address, write=self._write)
        except SilentError as problem:
            self._silent[database] = (time.monotonic() + _SILENT, problem)
            raise

    def view(self, database: str) -> None:
        """Open a consistent view of a database; a connection dropped in the meantime is re-created."""
        self.tables(database)
        dialect, connection = self.get(database)
        if back_out(connection):
            try:
                return dialect.begin_snapshot(connection)
            except SilentError:
                raise
            except SourceError:
                # where nothing was to be rolled back, only this tells that it is broken
                if back_out(connection):
                    raise
        self.drop(database)
        dialect, connection = self.get(database)
        return dialect.begin_snapshot(connection)

    def leave(self, database: str) -> None:
        """Close the view; a broken connection is discarded."""
        if database in self._open and not back_out(self._open[database][1]):
            self.drop(database)

    def tables(self, database: str) -> Mapping[str, TableInfo]:
        """The tables of a database as described by its own catalog (R7), read once."""
        found = self._tables.get(database)
        if found is None:
            dialect, connection = self.get(database)
            found = self._tables[database] = dialect.introspect(connection)
            connection.rollback()
        return found

    def sight(self, database: str) -> Visibility:
        """What the account may see of a database, read once."""
        found = self._sights.get(database)
        if found is None:
            dialect, connection = self.get(database)
            found = self._sights[database] = dialect.sight(connection)
            connection.rollback()
        return found

    def has(self, database: str, name: str) -> bool:
        """Whether the table exists; SourceError if that is unknown because it may be hidden from the account."""
        if name in self.tables(database):
            return True
        if self.sight(database).everything:
            return False
        raise SourceError(f"the account may not see table {name} in database {database}, or there is none", NO_RIGHT)

    def table(self, database: str, name: str) -> TableInfo:
        """One table; SourceError when the release has no such table."""
        found = self.tables(database).get(name)
        if found is None:
            self.has(database, name)
            raise SourceError(f"database {database} has no table {name}", "Its schema is not supported.")
        return found

    def concluded(self, database: str, about: Hashable, conclude: Callable[[], _T]) -> _T:
        """What only depends on ``about`` and on the database's own description, which is read once: so is this."""
        key = (database, about)
        if key not in self._concluded:
            self._concluded[key] = conclude()
        return cast("_T", self._concluded[key])

    def referring(self, database: str, table: str, *, whole: bool = True) -> list[Reference]:
        """Every foreign key to a table; SourceError if ``whole`` and the account cannot see every table."""
        if whole and not self.sight(database).everything:
            raise SourceError(
                f"the account may not see every table of database {database}, so references to {table} are unknown",
                NO_RIGHT,
            )
        found = self._referring.get(database)
        if found is None:
            found = {}
            for _, info in sorted(self.tables(database).items()):
                for reference in info.references:
                    found.setdefault(reference.parent, []).append(reference)
            self._referring[database] = found
        return found.get(table, [])

    def triggers(self, database: str) -> frozenset[str]:
        """The tables of a database with triggers, as far as the account may see them; read once."""
        found = self._triggers.get(database)
        if found is None:
            dialect, connection = self.get(database)
            found = self._triggers[database] = dialect.triggers(connection)
            connection.rollback()
        return found

    def drop(self, database: str) -> None:
        """Discard a broken connection."""
        found = self._open.pop(database, None)
        if found is not None:
            found[1].close()

    def close(self) -> None:
        """Close all connections."""
        for database in list(self._open):
            self.drop(database)


def matching(
    dialect: Dialect, columns: Sequence[str], wanted: Iterable[Sequence[Value]]
) -> Iterator[tuple[str, list[Value]]]:
    """(condition, parameters) per chunk; together they match all value tuples in ``wanted``.

    NULL matches NULL. Columns with a single value are compared with ``=``, the others with a list; a list over several
    columns also restricts its first column separately, because only that uses an index.
    """
    patterns: dict[tuple[bool, ...], list[Sequence[Value]]] = {}
    for values in wanted:
        patterns.setdefault(tuple([v is None for v in values]), []).append(values)
    for nulls, rows in patterns.items():
        fixed = [f"{dialect.quote(c)} IS NULL" for c, null in zip(columns, nulls, strict=True) if null]
        places = [n for n, null in enumerate(nulls) if not null]
        for start in range(0, len(rows), CHUNK):
            yield _condition(dialect, columns, places, fixed, rows[start : start + CHUNK])


def _condition(
    dialect: Dialect, columns: Sequence[str], places: list[int], fixed: list[str], rows: list[Sequence[Value]]
) -> tuple[str, list[Value]]:
    terms, parameters, mark = list(fixed), [], dialect.placeholder
    varying = []
    for place in places:
        value = rows[0][place]
        if len(rows) == 1 or all(row[place] == value for row in rows):
            terms.append(f"{dialect.quote(columns[place])} = {mark}")
            parameters.append(value)
        else:
            varying.append(place)
    if varying:
        first = dialect.quote(columns[varying[0]])
        values = list({row[varying[0]]: None for row in rows})
        terms.append(f"{first} IN ({', '.join([mark] * len(values))})")
        parameters += values
    if len(varying) > 1:
        one = f"({', '.join([mark] * len(varying))})"
        names = ", ".join(dialect.quote(columns[n]) for n in varying)
        # SQLite supports lists of row values only as VALUES
        intro = "VALUES " if dialect.name == "sqlite" else ""
        terms.append(f"({names}) IN ({intro}{', '.join([one] * len(rows))})")
        parameters += [row[n] for row in rows for n in varying]
    return " AND ".join(terms) or "1 = 1", parameters


def fetch(
    dialect: Dialect,
    connection: Connection,
    table: str,
    columns: Sequence[str],
    by: Sequence[str],
    wanted: Iterable[Sequence[Value]],
    *,
    order: Sequence[str] = (),
    lock: str = "",
) -> list[tuple[Value, ...]]:
    """Columns of the rows whose columns ``by`` match any of ``wanted``; with ``lock``, they stay locked."""
    head = f"SELECT {', '.join(dialect.quote(c) for c in columns)} FROM {dialect.quote(table)} WHERE "
    tail = f" ORDER BY {', '.join(dialect.quote(c) for c in order)}" if order else ""
    tail += lock
    found: list[tuple[Value, ...]] = []
    for condition, parameters in matching(dialect, by, wanted):
        found += dialect.select(connection, head + condition + tail, parameters)
    return found
