# SPDX-License-Identifier: Apache-2.0
"""Loads rows into the databases as fast as possible: LOAD DATA on MariaDB, one transaction on SQLite."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pymysql

#: NULL in a line for LOAD DATA
_NULL = "\x00N"
_FLUSH = 400_000


class Loader(Protocol):
    """Takes rows by database and table."""

    def emit(self, database: str, table: str, columns: tuple[str, ...], values: Sequence[Any]) -> None: ...
    def close(self) -> None:
        """Write the remaining rows."""
        ...


class Fitting:
    """Leaves out the tables and columns that a release does not have, and passes on the rest."""

    def __init__(self, emit: Callable[..., None], columns: Callable[[str, str], frozenset[str]]) -> None:
        self._emit, self._columns = emit, columns
        self._kept: dict[tuple[str, str, tuple[str, ...]], tuple[tuple[str, ...], tuple[int, ...]]] = {}

    def emit(self, database: str, table: str, columns: tuple[str, ...], values: Sequence[Any]) -> None:
        """Store what the release has of a row."""
        found = self._kept.get((database, table, columns))
        if found is None:
            there = self._columns(database, table)
            places = tuple(n for n, column in enumerate(columns) if column in there)
            found = self._kept[database, table, columns] = (tuple(columns[n] for n in places), places)
        names, places = found
        if len(names) == len(columns):
            self._emit(database, table, columns, values)
        elif names:
            self._emit(database, table, names, [values[n] for n in places])


class SQLiteLoader:
    """Collects rows and writes them in one transaction per database."""

    def __init__(self, connections: dict[str, sqlite3.Connection]) -> None:
        self._connections = connections
        self._rows: dict[tuple[str, str, tuple[str, ...]], list[Sequence[Any]]] = {}

    def emit(self, database: str, table: str, columns: tuple[str, ...], values: Sequence[Any]) -> None:
        """Store a row."""
        self._rows.setdefault((database, table, columns), []).append(values)

    def close(self) -> None:
        """Write all rows."""
        for connection in self._connections.values():
            connection.execute("BEGIN")
        for (database, table, columns), rows in self._rows.items():
            names = ", ".join(f'"{c}"' for c in columns)
            marks = ", ".join("?" * len(columns))
            self._connections[database].executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)
        for connection in self._connections.values():
            connection.execute("COMMIT")
        self._rows.clear()


class MariaDBLoader:
    """Writes rows as lines into one file per table, which the server loads."""

    def __init__(self, connections: dict[str, pymysql.Connection[Any]]) -> None:
        self._connections = connections
        self._folder = tempfile.TemporaryDirectory(prefix="stackmend-load-")
        self._lines: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
        self._count = 0
        for connection in connections.values():
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION foreign_key_checks = 0, unique_checks = 0")

    def emit(self, database: str, table: str, columns: tuple[str, ...], values: Sequence[Any]) -> None:
        """Store a row as a line."""
        line = "\t".join([_NULL if v is None else v if type(v) is str else str(v) for v in values])
        self._lines.setdefault((database, table, columns), []).append(
            line.replace("\\", "\\\\").replace(_NULL, "\\N") if "\\" in line or _NULL in line else line
        )
        self._count += 1
        if self._count >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        path = Path(self._folder.name) / "rows.tsv"
        for (database, table, columns), lines in self._lines.items():
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            names = ", ".join(f"`{c}`" for c in columns)
            with self._connections[database].cursor() as cursor:
                cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE `{table}` CHARACTER SET utf8mb4 ({names})")
                if cursor.rowcount != len(lines):
                    cursor.execute("SHOW WARNINGS")
                    raise RuntimeError(f"{table}: {cursor.rowcount} of {len(lines)} rows loaded: {cursor.fetchone()}")
        self._lines.clear()
        self._count = 0

    def close(self) -> None:
        """Load the remaining lines."""
        self._flush()
        for connection in self._connections.values():
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION foreign_key_checks = 1, unique_checks = 1")
        self._folder.cleanup()
