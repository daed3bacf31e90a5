# SPDX-License-Identifier: Apache-2.0
"""Reads a dump statement by statement: tables and their columns, rows of the tables that are wanted.

A parser of SQL would need days for the rows of a cloud. A dump has few kinds of statements, so that one regular
expression for each table reads a row at once; the rest is passed over by its quotes. What it does not understand is
damage, never skipped: the rows of a table that was read in part would make others look like orphans.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stackmend.drivers.dumps import values
from stackmend.drivers.dumps.values import NAME, STRING
from stackmend.model.step import Value

_CHUNK = 1 << 20
#: the most bytes that a row, or the head of a statement, may have
_LONGEST = 256 << 20
_HEAD = 1 << 16
_BATCH = 5_000

_BLANK = re.compile(rb"\s+|--[^\n]*\n?|#[^\n]*\n?|/\*(?!M?!).*?\*/;?", re.DOTALL)
_SPECIAL = re.compile(
    rb"/\*M?!(?:[^'\"`*]|" + STRING + rb"|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|\*(?!/))*\*/(?:[ \t]*;)?", re.DOTALL
)
_REST = re.compile(rb"(?:[^'\"`;]+|" + STRING + rb"|\"(?:[^\"\\]|\\.)*\"|`[^`]*`)*", re.DOTALL)
_USE = re.compile(rb"USE (" + NAME + rb")\s*;", re.IGNORECASE)
_CREATE = re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?(" + NAME + rb")\s*\(", re.IGNORECASE)
_INSERT = re.compile(
    rb"(?:INSERT|REPLACE)\s+(?:DELAYED\s+)?(?:IGNORE\s+)?INTO (" + NAME + rb")\s*(\([^)]*\))?\s*VALUES?\s*",
    re.IGNORECASE,
)
_DELIMITER = re.compile(rb"DELIMITER (?!;\s)(\S+)[^\n]*\n(.*?)\nDELIMITER ;[^\n]*(?:\n|$)", re.DOTALL | re.IGNORECASE)
_COLUMN = re.compile(rb"^\s*(`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|\w+)\s+(\w+)([^\n]*)", re.MULTILINE)
_COLLATION = re.compile(rb"COLLATE (\w+)", re.IGNORECASE)
_BINARY = re.compile(rb"\)[^()]*COLLATE ?= ?\w*_?bin(?:ary)?\b[^()]*$", re.IGNORECASE)
_PRIMARY = re.compile(rb"PRIMARY KEY (?:USING \w+ )?\(([^)]*)\)", re.IGNORECASE)
_NO_COLUMN = frozenset(b"PRIMARY KEY UNIQUE CONSTRAINT FULLTEXT SPATIAL CHECK INDEX FOREIGN PERIOD".split())
_BEGIN = re.compile(rb"-- (?:MariaDB|MySQL) dump ")
_OF = re.compile(rb"-- Host: .*?Database: ([^\s]*)")
_COMPLETED = re.compile(rb"-- Dump completed(?: on ([0-9]{4}-[0-9]{2}-[0-9]{2} +[0-9]{1,2}:[0-9]{2}:[0-9]{2}))?")
_RESTORED = re.compile(rb"SET (?:SQL_NOTES|NOTE_VERBOSITY) *= *@OLD_", re.IGNORECASE)
_CHARSET = re.compile(rb"SET NAMES '?(\w+)", re.IGNORECASE)
_UTF8 = frozenset({b"utf8", b"utf8mb3", b"utf8mb4", b"binary"})


class DumpDamagedError(Exception):
    """A dump that ends early, or has something that no dump has."""


@dataclass(frozen=True, slots=True)
class DumpColumn:
    """A column of a table as the dump declares it."""

    name: str
    kind: str  #: its type, without length: "varchar"
    binary: bool = False  #: whether its texts compare byte by byte


class Sink(Protocol):
    """What takes the contents of a dump."""

    def database(self, name: str) -> None:
        """What follows belongs to this database."""
        ...

    def table(self, name: str, columns: Sequence[DumpColumn], key: Sequence[str]) -> None:
        """A table is declared."""
        ...

    def wanted(self, table: str) -> Sequence[str]:
        """The columns to keep of a table; none if its rows are passed over."""
        ...

    def rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Some rows of a table."""
        ...


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes | None: ...


@dataclass(slots=True)
class Scanner:
    """Reads one dump into a sink; :meth:`run` raises DumpDamagedError where it cannot go on."""

    stream: Readable
    sink: Sink
    completed: str = ""  #: when the dump was completed, by the clock and in the zone of who made it
    _data: bytes = b""
    _at: int = 0
    _ended: bool = False
    _whole: bool = False
    _begun: bool = False
    _columns: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def run(self) -> None:
        """Read to the end."""
        while True:
            self._ensure(_HEAD)
            if self._at >= len(self._data):
                break
            self._one()
        if not self._whole:
            raise DumpDamagedError("its end is missing: it was cut off, or made without comments (--compact)")

    def _one(self) -> None:
        """One comment or statement."""
        if found := _BLANK.match(self._data, self._at):
            self._remark(found[0])
            self._at = found.end()
        elif self._data.startswith((b"/*!", b"/*M!"), self._at):
            self._settings(self._long(_SPECIAL, "a comment")[0])
        elif found := _USE.match(self._data, self._at):
            self._at = found.end()
            self._whole = False
            self._columns.clear()
            self.sink.database(values.name(found[1]))
        elif found := _CREATE.match(self._data, self._at):
            self._at = found.end()
            self._table(values.name(found[1]), self._rest())
        elif found := _INSERT.match(self._data, self._at):
            self._at = found.end()
            self._insert(values.name(found[1]), found[2])
        elif self._data[self._at : self._at + 10].upper() == b"DELIMITER ":
            self._long(_DELIMITER, "a trigger or procedure")
        else:
            self._settings(self._rest())

    def _remark(self, text: bytes) -> None:
        if found := _COMPLETED.match(text):
            self._whole = True
            self.completed = (found[1] or b"").decode()
        elif _BEGIN.match(text):
            if self._begun and not self._whole:
                raise DumpDamagedError("another dump begins before its end")
            self._begun, self._whole = True, False
        elif (found := _OF.match(text)) and found[1]:
            self._columns.clear()
            self.sink.database(found[1].decode(errors="replace"))

    def _settings(self, text: bytes) -> None:
        if _RESTORED.search(text):
            self._whole = True
        elif (found := _CHARSET.search(text)) and found[1].lower() not in _UTF8:
            raise DumpDamagedError(
                f"it is in the character set {found[1].decode()}: make it with --default-character-set=utf8mb4"
            )

    def _table(self, table: str, body: bytes) -> None:
        self._whole = False
        columns, every_binary = [], _BINARY.search(body) is not None
        for found in _COLUMN.finditer(body):
            bare = found[1][:1] not in (b"`", b'"')
            if not (bare and found[1].upper() in _NO_COLUMN):
                own = _COLLATION.search(found[3])
                binary = own[1].endswith((b"_bin", b"binary")) if own else every_binary
                columns.append(DumpColumn(values.name(found[1]), found[2].decode().lower(), binary))
        primary = _PRIMARY.search(body)
        key = [values.name(one[0]) for one in re.finditer(NAME, primary[1])] if primary else []
        self._columns[table] = tuple(column.name for column in columns)
        self.sink.table(table, columns, [part for part in key if part in self._columns[table]])

    def _insert(self, table: str, listed: bytes | None) -> None:
        self._whole = False
        if table not in self._columns:
            raise DumpDamagedError(f"it has rows of table {table}, but not the table: made with --no-create-info")
        kept = self.sink.wanted(table)
        if not kept:
            self._rest()
            return
        columns = self._columns[table]
        if listed is not None:
            columns = tuple(values.name(found[0]) for found in re.finditer(NAME, listed))
        at = [n for n, column in enumerate(columns) if column in kept]
        pattern, rows = values.row(len(columns), tuple(at)), list[Sequence[Value]]()
        names = [columns[n] for n in at]
        while True:
            found = self._long(pattern, f"a row of table {table}")
            *raw, after = found.groups()
            rows.append([values.value(one) for one in raw])
            if after == b";" or len(rows) >= _BATCH:
                self.sink.rows(table, names, rows)
                rows = []
            if after == b";":
                return

    def _rest(self) -> bytes:
        """Everything to the end of the statement."""
        parts, size = [], 0
        while True:
            found = _REST.match(self._data, self._at)
            end = found.end() if found else self._at
            if size < _CHUNK:  # only short statements are looked at
                parts.append(self._data[self._at : end])
            size += end - self._at
            stuck, self._at = end == self._at, end
            if self._data.startswith(b";", end):
                self._at += 1
                return b"".join(parts)
            if (stuck and len(self._data) - end > _LONGEST) or not self._more():
                raise DumpDamagedError("it ends in the middle of a statement")

    def _long(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        """A match here, with as much more of the stream as it needs."""
        while True:
            found = pattern.match(self._data, self._at)
            if found is not None and (found.end() < len(self._data) or self._ended):
                self._at = found.end()
                return found
            if len(self._data) - self._at > _LONGEST or not self._more():
                if found is not None:
                    continue
                raise DumpDamagedError(f"it ends early, or is damaged, in {what}")

    def _ensure(self, size: int) -> None:
        while not self._ended and len(self._data) - self._at < size:
            self._more()

    def _more(self) -> bool:
        """Read on; False at the end."""
        got = self.stream.read(max(_CHUNK, len(self._data) - self._at))
        if not got:
            self._ended = True
            return False
        self._data, self._at = self._data[self._at :] + got, 0
        return True
