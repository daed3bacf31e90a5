# SPDX-License-Identifier: Apache-2.0
"""Puts what is wanted of dumps into SQLite files, one for each database, which are then read like any database.

Only the columns that something reads are kept. Of a secret that a check asks about, only that is kept which the check
may know: whether there is one, and the kind of a store (docs/adr/0060).
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import sqlite3
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stackmend.drivers.dumps.scanner import DumpColumn, DumpDamagedError, Readable, Scanner
from stackmend.drivers.snapshot.connections import reduced
from stackmend.drivers.snapshot.selects import read_columns
from stackmend.model.step import Value
from stackmend.tables import secrets, tables
from stackmend.tables.nova import INSPECTION

#: service -> table -> columns
Wanted = Mapping[str, Mapping[str, frozenset[str]]]

_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
#: how locations of images begin, which say what kind of store has them (tables/glance.py)
_SCHEME = re.compile(r"file:|rbd:|swift|s3|cinder:|http", re.IGNORECASE)
_LOCATIONS = ("image_locations", "value")
_HIDDEN = "x"
#: the schema of a cell is named in a URL with the password of its account
_CELLS = ("cell_mappings", "database_connection")
_QUEUES = ("cell_mappings", "transport_url")
_SCHEMA = re.compile(r"[^?]*/([^/?]+)(?:\?.*)?", re.DOTALL)
#: what goes wrong with a file, compressed or in an archive
_UNREADABLE = (OSError, EOFError, ValueError, lzma.LZMAError, tarfile.TarError, zlib.error)
#: (table, column) of what services write every few seconds
_BEATS = (("services", "last_seen_up"), ("services", "updated_at"), ("agents", "heartbeat_timestamp"))


@dataclass(slots=True)
class Dumped:
    """One database of a dump."""

    name: str  #: of the schema
    dump: str  #: the file, for people
    file: Path
    tables: set[str] = field(default_factory=set)
    rows: int = 0
    error: str = ""  #: why nothing may be concluded from it
    beat: str = ""  #: the latest moment that a service wrote into it, UTC
    completed: str = ""  #: the moment the dump was completed, by the clock of who made it


def wanted(more: Wanted) -> dict[str, dict[str, frozenset[str]]]:
    """What the collector reads, and ``more``: service -> table -> columns."""
    found: dict[str, dict[str, frozenset[str]]] = {}

    def add(service: str, table: str, columns: frozenset[str]) -> None:
        home = found.setdefault(service, {})
        home[table] = home.get(table, frozenset()) | columns

    for part in (part for parts in tables().values() for part in parts):
        for table, columns in read_columns(part).items():
            add(part.service, table, columns)
        add(part.service, "alembic_version", frozenset({"version_num"}))
        add(part.service, "migrate_version", frozenset({"version"}))
    for service, some in more.items():
        for table, columns in some.items():
            add(service, table, columns)
    add("nova_api", *_CELLS[:1], frozenset({_CELLS[1]}))
    return found


def load(stream: Readable, dump: str, fallback: str, into: Path, kept: Wanted) -> list[Dumped]:
    """The databases of one dump, in new files in ``into``; ``fallback``: the name of one that the dump does not name.

    What is damaged has an error; so has the database that was being read when the damage was met.
    """
    loader = _Loader(dump, fallback, into, kept)
    scanner = Scanner(stream, loader)
    try:
        scanner.run()
    except DumpDamagedError as problem:
        loader.fail(f"its dump {dump} is not whole: {problem}")
    except (*_UNREADABLE, sqlite3.Error) as problem:
        loader.fail(f"its dump {dump} cannot be read: {problem}")
    for one in loader.found:
        one.completed = scanner.completed
    return loader.close()


class _Loader:
    """Takes a dump, as a :class:`stackmend.drivers.dumps.scanner.Sink`."""

    def __init__(self, dump: str, fallback: str, into: Path, kept: Wanted) -> None:
        self._dump, self._fallback, self._into = dump, fallback, into
        self._kept: dict[str, set[str]] = {}
        for some in kept.values():
            for table, columns in some.items():
                self._kept.setdefault(table, set()).update(columns)
        self._hidden = {(table, column) for _, table, column in secrets()}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._connection: sqlite3.Connection | None = None
        self.found: list[Dumped] = []

    def database(self, name: str) -> None:
        """Begin a file, unless this is the database that is being read."""
        if not self.found or self.found[-1].name != name:
            self._begun(name)

    def _begun(self, name: str) -> sqlite3.Connection:
        self._end()
        number = len([*self._into.iterdir()])
        found = Dumped(name, self._dump, self._into / f"{number}.db")
        connection = sqlite3.connect(found.file, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        self._columns, self._connection = {}, connection
        self.found.append(found)
        return connection

    def table(self, name: str, columns: Sequence[DumpColumn], key: Sequence[str]) -> None:
        """Make a table of the columns that are kept; note any other."""
        one, connection = self._current()
        if name in one.tables:
            raise DumpDamagedError(f"table {name} is in it twice")
        one.tables.add(name)
        keep = self._kept.get(name, set())
        own = [column for column in columns if column.name in keep or (column.name in key and keep)]
        self._columns[name] = tuple(column.name for column in own)
        if own:
            parts = [_declared(column) for column in own]
            parts += [f"PRIMARY KEY ({', '.join(map(_quoted, key))})"] if key else []
            connection.execute(f"CREATE TABLE {_quoted(name)} ({', '.join(parts)})")

    def wanted(self, table: str) -> Sequence[str]:
        """The columns that are kept."""
        return self._columns.get(table, ())

    def rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Insert them, without their secrets."""
        one, connection = self._current()
        for at, column in enumerate(columns):
            if (table, column) in self._hidden:
                rows = [[*row[:at], _hide(table, column, row[at]), *row[at + 1 :]] for row in rows]
        marks = ", ".join("?" * len(columns))
        names = ", ".join(map(_quoted, columns))
        try:
            connection.executemany(f"INSERT INTO {_quoted(table)} ({names}) VALUES ({marks})", rows)
        except sqlite3.IntegrityError:
            raise DumpDamagedError(f"a row of table {table} is in it twice") from None
        except OverflowError:
            raise DumpDamagedError(f"table {table} has a number that no column can hold") from None
        one.rows += len(rows)

    def fail(self, why: str) -> None:
        """Note damage: of the database that is being read, or of all if that is unknown."""
        if not self.found:
            self.database(self._fallback)
        self.found[-1].error = why

    def close(self) -> list[Dumped]:
        """The databases with their latest moments."""
        self._end()
        return self.found

    def _current(self) -> tuple[Dumped, sqlite3.Connection]:
        connection = self._connection or self._begun(self._fallback)
        return self.found[-1], connection

    def _end(self) -> None:
        if self._connection is None:
            return
        one = self.found[-1]
        for table, column in _BEATS:
            if column in self._columns.get(table, ()):
                sql = f"SELECT MAX({_quoted(column)}) FROM {_quoted(table)}"
                ((latest,),) = self._connection.execute(sql)
                one.beat = max(one.beat, str(latest or "")[:19])
        self._connection.execute("COMMIT")
        self._connection.close()
        self._connection = None


def _declared(column: DumpColumn) -> str:
    """Texts compare as in MariaDB, but for accents; no other column has a type, so that values stay as they are."""
    folds = column.kind in _TEXTS and not column.binary
    return f"{_quoted(column.name)} {'TEXT COLLATE NOCASE' if folds else ''}".strip()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _queue(url: str) -> str:
    """A transport URL without its account: of the rest a digest, so that two of them can be compared."""
    scheme, at, rest = url.partition("@")
    return f"{scheme.split(':')[0]}://@{hashlib.sha256(rest.encode()).hexdigest()}" if at else url


def _hide(table: str, column: str, value: Value) -> Value:
    """Of a secret what may be known: that it is there, a scheme, or that it is stackmend's own text."""
    if value is None or value == "" or value == b"":
        return value
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if (table, column) == _CELLS:
        schema = _SCHEMA.fullmatch(text)
        return schema[1] if schema else _HIDDEN
    if (table, column) == _QUEUES:
        return _queue(text)
    if column == "connection_info":
        return json.dumps(reduced(text))
    scheme = _SCHEME.match(text) if (table, column) == _LOCATIONS else None
    return text if text.startswith(INSPECTION) else scheme[0] if scheme else _HIDDEN
