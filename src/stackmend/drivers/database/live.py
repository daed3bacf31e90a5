# SPDX-License-Identifier: Apache-2.0
"""The live databases as repairs see them: read-only, row by row, without secrets.

One instance serves one plan. Answers are cached, and a look-up for one finding also reads the rows for the next few
hundred findings in the same statement: a repair looks up ``{"consumer_id": target["consumer"]}`` for one finding after
another, so N findings would cost N round trips per look-up. A value is assumed to come from the target if it equals one
of its values; if that is wrong, unneeded rows are read, but no answer changes (docs/adr/0038).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from stackmend.drivers.database.dialects.base import Address
from stackmend.drivers.database.rows import CHUNK, NO_RIGHT, Connections, fetch
from stackmend.drivers.database.transactions import back_out
from stackmend.model.errors import SourceError
from stackmend.model.events import Events
from stackmend.model.protocols import Api, Guests, Reference
from stackmend.model.snapshot import CELL, cell_database
from stackmend.model.step import Record, Value, Values
from stackmend.model.values import whole
from stackmend.tables import secret_columns

_EVENTS = Events(__name__)

_Where = Mapping[str, Value | Sequence[Value]]
_Key = tuple[Any, ...]


class LiveDatabases:
    """A :class:`stackmend.model.protocols.Live` on the databases at these addresses.

    ``errors`` are databases that exist and cannot be reached; ``cells_known``: the list of cells was read; ``api`` is
    passed on to repairs, and so is ``guests``; ``now`` is the time of a plan that is made again.
    """

    def __init__(
        self,
        addresses: Mapping[str, Address],
        errors: Mapping[str, str],
        *,
        cells_known: bool,
        settings: Callable[[str], str | None] = lambda _name: None,
        api: Api | None = None,
        now: str = "",
        guests: Guests | None = None,
    ) -> None:
        self._connections = Connections(addresses, errors)
        self._databases = {**dict.fromkeys(addresses), **dict.fromkeys(errors)}
        self._cells_known = cells_known
        self._settings = settings
        self._api, self._guests = api, guests
        self._answers: dict[_Key, list[Record]] = {}
        self._held: dict[tuple[str, str, str, tuple[str, ...], int], list[tuple[Value, ...]]] = {}
        self._ahead: list[Mapping[str, object]] = []
        self._named: dict[str, list[int]] = {}  #: text -> the targets ahead that have it, by number
        self._at = 0
        self._now = now
        self._asked: tuple[datetime, float] | None = None  #: the databases' clock, and ours at that moment
        self._lookups = self._statements = 0

    @property
    def api(self) -> Api | None:
        """The services' APIs; None if there is none, or it is not to be used."""
        return self._api

    @property
    def guests(self) -> Guests | None:
        """Where guests are, according to hypervisors; None if these were not to be read."""
        return self._guests

    def close(self) -> None:
        """Close all connections."""
        if self._lookups:
            _EVENTS.detail("rows looked up", lookups=self._lookups, statements=self._statements)
        self._connections.close()

    def expect(self, targets: Iterable[Mapping[str, object]]) -> None:
        """Announce the targets that a repair will look up, in order: their rows are read some hundred at a time."""
        self._ahead, self._at, self._named = list(targets), 0, {}
        for number, target in enumerate(self._ahead):
            for text in {value for value in target.values() if _tells(value)}:
                self._named.setdefault(text, []).append(number)

    def rows(self, database: str, table: str, where: _Where) -> list[Record]:
        """Every row that matches all of ``where``, by primary key; SourceError if it cannot be read."""
        key = (database, table, tuple((c, tuple(v) if _several(v) else v) for c, v in where.items()))
        found = self._answers.get(key)
        self._lookups += 1
        if found is None:
            found = self._ask(key, database, table, where)
        return [dict(row) for row in found]

    def row(self, database: str, table: str, where: Values) -> Record | None:
        """The one row that matches, or None; several raise SourceError."""
        found = self.rows(database, table, where)
        if len(found) > 1:
            raise SourceError(
                f"{len(found)} rows of {table} in database {database} match ({', '.join(where)}), one was expected",
                "Duplicate rows are damage in their own right: see the checks of that service.",
            )
        return found[0] if found else None

    def key(self, database: str, table: str) -> tuple[str, ...]:
        """Names of the primary key's columns."""
        return self._connections.table(database, table).key

    def columns(self, database: str, table: str) -> tuple[str, ...]:
        """Names of the table's columns; () when the release has no such table, SourceError if it may be hidden."""
        if not self._connections.has(database, table):
            return ()
        info = self._connections.table(database, table)
        return (*info.columns, *sorted(info.hidden))

    def referring(self, database: str, table: str) -> list[tuple[str, str]]:
        """(table, column) of every foreign key to ``table``."""
        return [(found.table, column) for found in self.references(database, table) for column in found.columns]

    def references(self, database: str, table: str) -> list[Reference]:
        """Every foreign key to ``table``; SourceError if the account may not see all tables that there are."""
        return self._connections.referring(database, table)

    def cells(self) -> tuple[str, ...]:
        """Names of all cells; SourceError unless the list is known and every cell answers (R2)."""
        if not self._cells_known:
            raise SourceError(
                "the list of cells is not known", "nova_api.cell_mappings must be readable: see [databases]."
            )
        found = tuple(sorted(name.removeprefix(CELL) for name in self._databases if name.startswith(CELL)))
        for cell in found:
            self._connections.tables(cell_database(cell))
        return found

    def now(self) -> str:
        """UTC now, in the databases' format; the same moment for the whole plan."""
        self._now = self._now or self._utcnow()
        return self._now

    def clock(self) -> datetime:
        """Asked once; later answers add the time that has passed since, and a second that the answer left out."""
        if self._asked is None:
            self._asked = (datetime.fromisoformat(self._utcnow()) + timedelta(seconds=1), time.monotonic())
        then, at = self._asked
        return then + timedelta(seconds=time.monotonic() - at)

    def _utcnow(self) -> str:
        databases = [name for name in self._databases if name == "nova_api"] or list(self._databases)
        dialect, connection = self._connections.get(databases[0])
        now = dialect.utcnow(connection)
        back_out(connection)
        return now

    def setting(self, name: str) -> str | None:
        """A setting of Nova's own files, or None."""
        return self._settings(name)

    def count(self, database: str, table: str) -> int:
        """How many rows a table has."""
        dialect, connection = self._connections.get(database)
        ((found,),) = dialect.select(connection, f"SELECT COUNT(*) FROM {dialect.quote(table)}")
        back_out(connection)
        return whole(found)

    def pluck(
        self, database: str, table: str, columns: Sequence[str], where: Values, most: int = 1_000_000
    ) -> list[tuple[Value, ...]]:
        """Some columns of at most ``most`` rows that match all of ``where``; SourceError as for rows."""
        info = self._connections.table(database, table)
        wanted = [*columns, *where]
        if unknown := sorted({*wanted} - set(info.columns)) or sorted({*wanted} & secret_columns(database, table)):
            raise SourceError(f"{table} in database {database} has no column {unknown[0]}", "Check its release.")
        dialect, connection = self._connections.get(database)
        sql = f"SELECT {', '.join(map(dialect.quote, columns))} FROM {dialect.quote(table)}"
        tests = [f"{dialect.quote(column)} = {dialect.placeholder}" for column in where]
        sql += (f" WHERE {' AND '.join(tests)}" if tests else "") + f" LIMIT {most:d}"
        found = dialect.select(connection, sql, list(where.values()))
        back_out(connection)
        return found

    def holding(
        self, database: str, table: str, column: str, texts: Sequence[str], most: int = 1
    ) -> list[tuple[Value, ...]]:
        """Keys of at most ``most`` rows whose column contains all of the texts, with no wildcards in them.

        It takes a scan of the table: the same question is asked once.
        """
        question = (database, table, column, tuple(texts), most)
        if question in self._held:
            return self._held[question]
        info = self._connections.table(database, table)
        dialect, connection = self._connections.get(database)
        keys, own = ", ".join(map(dialect.quote, info.key)), dialect.quote(column)
        tests = " AND ".join(f"{own} LIKE {dialect.placeholder}" for _ in texts)
        sql = f"SELECT {keys} FROM {dialect.quote(table)} WHERE {tests} LIMIT {most:d}"
        found = self._held[question] = dialect.select(connection, sql, [f"%{text}%" for text in texts])
        back_out(connection)
        return found

    def _ask(self, key: _Key, database: str, table: str, where: _Where) -> list[Record]:
        info = self._connections.table(database, table)
        if unknown := sorted(set(where) - set(info.columns)):
            raise SourceError(f"{table} in database {database} has no column {unknown[0]}", "Check its release.")
        secret = secret_columns(database, table)
        if hidden := sorted(info.hidden - secret):
            # a row without some of its columns is no before image
            raise SourceError(f"the account may not read {table}.{hidden[0]} in database {database}", NO_RIGHT)
        columns = tuple(c for c in info.columns if c not in secret)
        by = tuple(where)
        wanted: list[_Key] = [()]
        for value in where.values():
            options = list(dict.fromkeys(value)) if _several(value) else [value]
            wanted = [(*head, option) for head in wanted for option in options]
        more = [] if any(map(_several, where.values())) else self._foreseen(where)
        rows = self._read(database, table, columns, by, [*wanted, *more], info.key)
        for values in more:
            self._answers.setdefault((database, table, tuple(zip(by, values, strict=True))), [])
        if not more:
            self._answers[key] = [dict(zip(columns, row, strict=True)) for row in rows]
            return self._answers[key]
        return self._sort_out(key, columns, by, [*wanted, *more], rows)

    def _sort_out(
        self, key: _Key, columns: Sequence[str], by: Sequence[str], wanted: Sequence[_Key], rows: Sequence[_Key]
    ) -> list[Record]:
        """Distribute the rows of a combined look-up to the individual ones."""
        mine: dict[_Key, list[Record]] = {values: [] for values in wanted}
        for row in rows:
            record = dict(zip(columns, row, strict=True))
            values = tuple(record[c] for c in by)
            if values not in mine:
                # found through a case-insensitive collation: the matching look-up is unknown, so each is run separately
                for each in wanted:
                    self._answers.pop((*key[:2], tuple(zip(by, each, strict=True))), None)
                self.expect(())
                return self._ask(key, key[0], key[1], dict(zip(by, wanted[0], strict=True)))
            mine[values].append(record)
        for each, found in mine.items():
            self._answers[(*key[:2], tuple(zip(by, each, strict=True)))] = found
        return mine[wanted[0]]

    def _foreseen(self, where: _Where) -> list[_Key]:
        """The same look-up for the next targets, if it uses a value of the target."""
        numbers = [number for value in where.values() if (number := self._next(value)) is not None]
        if not numbers:
            return []
        self._at = number = min(numbers)
        named = {column: _name_of(value, self._ahead[number]) for column, value in where.items()}
        found: dict[_Key, None] = {}
        for other in self._ahead[number + 1 : number + CHUNK]:
            values = tuple([other.get(named[c]) if named[c] else value for c, value in where.items()])
            if None not in values:
                found[values] = None
        return [values for values in found if values != tuple(where.values())]

    def _next(self, value: object) -> int | None:
        """The number of the next of the targets ahead that has this text; most questions are about none of them."""
        numbers = self._named.get(value, []) if _tells(value) else []
        place = bisect_left(numbers, self._at)
        return numbers[place] if place < len(numbers) and numbers[place] < self._at + CHUNK else None

    def _read(
        self, database: str, table: str, columns: Sequence[str], by: Sequence[str], wanted: list[_Key], key: _Key
    ) -> list[_Key]:
        if not wanted:
            return []
        dialect, connection = self._connections.get(database)
        rows = fetch(dialect, connection, table, columns, by, wanted, order=key)
        self._statements += -(-len(wanted) // CHUNK)
        back_out(connection)
        if len(wanted) > CHUNK and key:
            places = [columns.index(column) for column in key]
            rows.sort(key=lambda row: [(row[n] is None, row[n]) for n in places])
        return rows


def _several(value: Value | Sequence[Value]) -> TypeGuard[Sequence[Value]]:
    return not isinstance(value, str | bytes | int | float) and value is not None


def _tells(value: object) -> TypeGuard[str]:
    """Whether two that are equal are so for a reason: only text, because small numbers coincide by chance."""
    return isinstance(value, str) and len(value) >= 8


def _name_of(value: object, target: Mapping[str, object]) -> str:
    """The column of the target that has this value."""
    if not _tells(value):
        return ""
    return next((name for name, own in target.items() if own == value), "")
