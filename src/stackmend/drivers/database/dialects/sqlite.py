# SPDX-License-Identifier: Apache-2.0
"""SQLite, for the embedded cloud: one file per database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stackmend.drivers.database.dialects.base import Address, Connection, TableInfo, TableReader, Usual, reference
from stackmend.drivers.database.dialects.rights import Visibility
from stackmend.drivers.database.load import Load
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Reference

_LOCK_SECONDS = 30
#: prefix for pragma functions: all tables except SQLite's own
_OF_TABLES = "FROM (SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\') m"
_COLUMNS = f"SELECT m.name, c.name, c.type, c.pk {_OF_TABLES}, pragma_table_info(m.name) c"
_REFERENCES = f"""
    SELECT m.name, r.id, r."from", r."table", r."to" {_OF_TABLES}, pragma_foreign_key_list(m.name) r
     ORDER BY m.name, r.id DESC, r.seq"""


class SQLite(Usual):
    """The dialect of SQLite."""

    name = "sqlite"
    placeholder = "?"
    folds = False
    for_update = ""  # BEGIN IMMEDIATE locks the whole file
    for_share = ""  # so does a reading transaction: nobody else can commit

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[Any, ...], ...], dict[str, TableInfo]] = {}

    def quote(self, name: str) -> str:
        """A name in double quotes."""
        return '"' + name.replace('"', '""') + '"'

    def qualified(self, address: Address, table: str) -> str:
        """The table: a file holds one database."""
        return self.quote(table)

    def null_safe(self, column: str) -> str:
        """``IS``: NULL equals NULL."""
        return f"{self.quote(column)} IS ?"

    def adapted(self, sql: str, types: Mapping[str, Mapping[str, str]]) -> str:
        """As it is."""
        return sql

    def as_text(self, value: str, null: str) -> str:
        """The server makes a text of it."""
        return f"COALESCE({value}, '{null}')"

    def connect(self, address: Address, *, write: bool = False) -> Connection:
        """A connection; unless ``write``, the file is opened read-only."""
        if not Path(address.database).is_file():
            raise SourceError(f"{address.redacted} does not exist", "Is the path in the URL absolute and correct?")
        mode = "rw" if write else "ro"
        with translated_errors(address):
            connection = sqlite3.connect(
                f"file:{quote(address.database)}?mode={mode}",
                uri=True,
                timeout=_LOCK_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute(f"PRAGMA query_only = {'OFF' if write else 'ON'}")
            connection.text_factory = _text
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        return connection

    def begin_snapshot(self, connection: Connection) -> None:
        """A deferred transaction, opened immediately by a read."""
        self.select(connection, "BEGIN")
        self.select(connection, "SELECT 1 FROM sqlite_master LIMIT 1")

    def begin_write(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE: nobody else can write from here on."""
        self.select(connection, "BEGIN IMMEDIATE")

    def introspect(self, connection: Connection, database: str | None = None) -> dict[str, TableInfo]:
        """Tables, columns, primary keys and references from SQLite's pragmas, each for all tables at once.

        Cached by the CREATE statements of the tables, which determine everything.
        """
        made = tuple(self.select(connection, "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"))
        if made not in self._known:
            self._known[made] = self._introspected(connection)
        return dict(self._known[made])

    def _introspected(self, connection: Connection) -> dict[str, TableInfo]:
        references: dict[str, dict[int, list[tuple[str, str, str]]]] = {}
        for table, number, column, parent, parent_column in self.select(connection, _REFERENCES):
            references.setdefault(table, {}).setdefault(number, []).append((column, parent, parent_column))
        columns: dict[str, list[tuple[str, str, int]]] = {}
        for table, *column in self.select(connection, _COLUMNS):
            columns.setdefault(table, []).append((column[0], column[1], column[2]))
        found = {
            table: TableInfo(
                {name: kind for name, kind, _ in some},
                tuple(name for name, _, key in sorted(some, key=lambda c: c[2]) if key),
                tuple(reference(table, pairs) for pairs in references.get(table, {}).values()),
            )
            for table, some in columns.items()
        }
        return {name: _named(info, found) for name, info in found.items()}

    def triggers(self, connection: Connection) -> frozenset[str]:
        """From the schema."""
        found = self.select(connection, "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'")
        return frozenset(str(table) for (table,) in found)

    def sight(self, connection: Connection, database: str | None = None) -> Visibility:
        """Everything: a file has no accounts."""
        return Visibility()

    def load(self, connection: Connection) -> Load | None:
        """None: a file has no server."""
        return None

    def is_full(self, problem: SourceError) -> bool:
        """Never."""
        return False

    def account(self, connection: Connection) -> str:
        """None: a file has no accounts."""
        return ""

    def grantee(self, name: str, host: str) -> str:
        """None: a file has no accounts."""
        return ""

    def seeing(self, address: Address, account: str) -> tuple[str, str]:
        """None."""
        return "", ""

    def lacks(self, connection: Connection, table: str, columns: Sequence[str], verbs: Sequence[str]) -> list[str]:
        """None."""
        return []

    def utcnow(self, connection: Connection) -> str:
        """This machine's UTC clock."""
        return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")

    def select(self, connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows as stored; text that is not UTF-8 is returned as bytes."""
        with translated_errors(None):
            cursor = connection.cursor()
            try:
                return list(cursor.execute(sql, tuple(parameters or ())))
            finally:
                cursor.close()

    def reader(self, address: Address) -> TableReader:
        """A reader of one file."""
        return _FileReader(self, address)


class _FileReader:
    """Streams the tables of one file; values are Python's."""

    packs = False

    def __init__(self, dialect: SQLite, address: Address) -> None:
        self._dialect, self._address = dialect, address
        self._connection: Any = dialect.connect(address)

    def begin(self) -> None:
        self._dialect.begin_snapshot(self._connection)

    def stream(self, sql: str, batch: int, database: str = "") -> Iterator[Sequence[tuple[Any, ...]]]:
        with translated_errors(self._address):
            cursor = self._connection.execute(sql)
            while rows := cursor.fetchmany(batch):
                yield rows

    def close(self) -> None:
        self._connection.close()


def _named(info: TableInfo, known: Mapping[str, TableInfo]) -> TableInfo:
    """A foreign key without columns references the primary key."""

    def named(found: Reference) -> Reference:
        silent = None in found.parent_columns and found.parent in known
        return found._replace(parent_columns=known[found.parent].key) if silent else found

    return replace(info, references=tuple(map(named, info.references)))


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


@contextmanager
def translated_errors(address: Address | None) -> Iterator[None]:
    """Turn SQLite's errors into a SourceError that names the file."""
    try:
        yield
    except sqlite3.Error as problem:
        where = address.redacted if address else "the SQLite database"
        raise SourceError(f"{where} cannot be read: {problem}", _hint(problem)) from problem


def _hint(problem: sqlite3.Error) -> str:
    if "not a database" in str(problem) or "malformed" in str(problem):
        return "The file is damaged or is not an SQLite database."
    return "Another process is writing to it; try again." if "locked" in str(problem) else ""
