# SPDX-License-Identifier: Apache-2.0
"""SQL over collected tables, on DuckDB: bounded in memory and on disk.

A query that would need more than the spill cap is refused with :class:`QueryTooLarge`; its check gets an error
result, never a pass (docs/explanation/performance.md: a memory limit alone only moves the damage to the disk).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from glob import escape
from itertools import count
from pathlib import Path
from threading import Lock

import duckdb
import pyarrow as pa

from stackmend.drivers.scratch import Scratch
from stackmend.drivers.snapshot.interrupts import interrupts
from stackmend.drivers.snapshot.shape import every_label, file_stem, schema
from stackmend.drivers.snapshot.uniform import KEY, noted
from stackmend.model.errors import SourceError, StackmendError
from stackmend.tables.outside import outside
from stackmend.tables.views import VIEWS

MEMORY = "350MB"
SPILL = "1GB"
#: tables whose files are smaller than this are loaded immediately: querying files costs ten milliseconds more
_SMALL = 256 * 1024
#: a snapshot whose files are smaller than this in all is a few (some thousand servers have more)
_FEW = 1024 * 1024
#: compared with a parser by the tests (docs/adr/0039): importing it would delay every audit
_STEP = re.compile(r"\s*(WITH|,)\s+(\w+)\s+AS\s*\(", re.IGNORECASE)
#: types of columns, in Arrow and here (text as _compared writes it)
_TYPES = {
    pa.string(): "VARCHAR COLLATE NOCASE",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us"): "TIMESTAMP",
}
#: for the names of databases; also ensures that only one thread starts an engine
_NUMBERS, _BEGINNING = count(), Lock()
#: statement -> the parameters it has: the same statements of the checks are run again and again
_PARAMETERS: dict[str, frozenset[str]] = {}
_BRACKET = re.compile(r"""'[^']*'|"[^"]*"|[()]""")


class QueryTooLarge(StackmendError):  # noqa: N818 - an answer, not an error
    """A check needs more memory and disk than it is allowed."""


class DuckQuery:
    """Tables by label, the views over them and ``clock``; implements :class:`stackmend.model.protocols.Query`.

    A separate database in an engine shared by all with the same limits, which apply to all of them together. Of a
    ``few`` rows, planning takes longer than joining: each statement is planned in one piece, and run by one thread.
    """

    def __init__(
        self, *, memory: str = MEMORY, spill: str = SPILL, threads: int | None = None, few: bool = False
    ) -> None:
        self._spill, self._few = spill, few
        self._name = f"query{next(_NUMBERS)}"
        with _BEGINNING:
            self._connection = _engine(memory, spill, 1 if few else threads).cursor()
        self._rows(f"ATTACH ':memory:' AS {self._name}")
        self._rows(f"USE {self._name}")

    def add_files(self, label: str, files: Sequence[Path]) -> None:
        """A table from Parquet files; empty without files. SourceError if one is damaged."""
        if not files:
            self.add(label, schema(label).empty_table())
            return
        # a * in a name is literal here, not a pattern
        names = ", ".join("'" + escape(str(f)).replace("'", "''") + "'" for f in files)
        kind = "TABLE" if sum(f.stat().st_size for f in files) < _SMALL else "VIEW"
        try:
            source = f"read_parquet([{names}])"
            described = self._rows(f"DESCRIBE FROM {source}")[1]
            uniform = frozenset() if self._few else self._uniform(names, len(files))
            columns = [(str(name), type_ == "VARCHAR" and name not in uniform) for name, type_, *_ in described]
            self._rows(f'CREATE {kind} "{label}" AS {_compared(source, columns)}')
        except duckdb.Error as problem:
            raise SourceError(
                f"table {label} of a snapshot cannot be read: {str(problem).splitlines()[0]}",
                "Its file is damaged; create a new snapshot.",
            ) from problem

    def _uniform(self, names: str, files: int) -> frozenset[str]:
        """The columns of ids that are written in one way in all of the files."""
        sql = f"SELECT decode(value) FROM parquet_kv_metadata([{names}]) WHERE key = '{KEY}'"
        notes = [str(text) for (text,) in self._rows(sql)[1]]
        return noted(notes) if len(notes) == files else frozenset()

    def add(self, label: str, table: pa.Table) -> None:
        """A table from memory."""
        if not table.num_rows and all(field.type in _TYPES for field in table.schema):
            # most tables of a narrow read: a quarter of the time
            listed = ", ".join(f'"{field.name}" {_TYPES[field.type]}' for field in table.schema)
            self._rows(f'CREATE TABLE "{label}" ({listed})')
            return
        self._connection.register("incoming", table)
        columns = [(field.name, pa.types.is_string(field.type)) for field in table.schema]
        self._rows(f'CREATE TABLE "{label}" AS {_compared("incoming", columns)}')
        self._connection.unregister("incoming")

    def ready(self, now: str, present: set[str]) -> None:
        """Add ``clock`` and every view whose tables are ``present``."""
        self._rows("CREATE TABLE clock AS SELECT CAST(? AS TIMESTAMP) AS now", [now])
        for name, view in VIEWS.items():
            if set(view.needs) <= present:
                self._rows(f'CREATE VIEW "{name}" AS {view.sql}')

    def rows(self, sql: str, parameters: Mapping[str, object]) -> list[dict[str, object]]:
        """Run one statement; only the parameters it uses are bound.

        Queries under WITH are run first, one by one, each into a temporary table: the planner knows the row count of a
        table and joins large tables to it; for a subquery it guesses, often wrong by a factor of a thousand. Only of a
        few rows a wrong guess costs less than a statement.
        """
        named, last = ([], sql) if self._few else steps(sql)
        try:
            for name, step in named:
                self._rows(f'CREATE OR REPLACE TEMP TABLE "{name}" AS {step}', self._named(step, parameters))
            names, found = self._rows(last, self._named(last, parameters))
            return [dict(zip(names, row, strict=True)) for row in found]
        except (duckdb.OutOfMemoryException, duckdb.IOException) as problem:
            raise QueryTooLarge(
                f"a query needs more than its memory and the {self._spill} it may spill to disk:"
                f" {str(problem).splitlines()[0]}",
                "Report the check: its SQL joins too much. The other checks are not affected.",
            ) from problem
        except duckdb.Error as problem:
            raise StackmendError(f"a query failed: {str(problem).splitlines()[0]}") from problem
        finally:
            # failing to drop them must not hide why the query failed
            with suppress(duckdb.Error):
                for name, _ in named:
                    self._rows(f'DROP TABLE IF EXISTS temp."{name}"')

    def _rows(self, sql: str, parameters: object = None) -> tuple[list[str], list[tuple[object, ...]]]:
        """(names of the columns, rows) of one statement."""
        with interrupts():
            cursor = self._connection.execute(sql, parameters)
            return [d[0] for d in cursor.description or ()], cursor.fetchall()

    def _named(self, sql: str, parameters: Mapping[str, object]) -> dict[str, object] | None:
        """The parameters that DuckDB finds in the statement."""
        names = _PARAMETERS.get(sql)
        if names is None:
            found = (name for part in self._connection.extract_statements(sql) for name in part.named_parameters)
            names = _PARAMETERS[sql] = frozenset(found)
        return {name: parameters[name] for name in names if name in parameters} or None

    def close(self) -> None:
        """Drop the tables."""
        # a database in use cannot be detached; a broken engine has nothing left to release
        with suppress(duckdb.Error):
            self._rows("USE memory")
            self._rows(f"DETACH {self._name}")
        self._connection.close()


@cache
def _engine(memory: str, spill: str, threads: int | None) -> duckdb.DuckDBPyConnection:
    """DuckDB with these limits; starting an engine takes sixty times as long as adding a database to a running one."""
    engine = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": memory,
            "temp_directory": Scratch("duckdb").name,
            "threads": threads or os.cpu_count() or 1,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
        },
    )
    # not above: set before there is a database, DuckDB stores and shows it, but ignores it
    engine.execute(f"SET max_temp_directory_size = '{spill}'")
    return engine


def _compared(source: str, columns: Iterable[tuple[str, bool]]) -> str:
    """All columns (name, whether case is to be ignored): as in MariaDB, which ignores trailing blanks too.

    The value is unchanged, except for trailing blanks.
    """
    terms = [
        f"""RTRIM("{name}", ' ') COLLATE NOCASE AS "{name}\"""" if blind else f'"{name}"' for name, blind in columns
    ]
    return f"SELECT {', '.join(terms)} FROM {source}"


def steps(sql: str) -> tuple[list[tuple[str, str]], str]:
    """The (name, query) pairs under the WITH of a statement, and the rest; comments are not supported."""
    found: list[tuple[str, str]] = []
    rest = sql
    while (step := _STEP.match(rest)) and (step[1] == ",") is bool(found):
        depth = 1
        for token in _BRACKET.finditer(rest, step.end()):
            depth += {"(": 1, ")": -1}.get(token[0], 0)
            if depth == 0:
                found.append((step[2], rest[step.end() : token.start()]))
                rest = rest[token.end() :]
                break
        else:
            return [], sql
    return found, rest


def open_snapshot(
    folder: Path, now: str, *, spill: str = SPILL, without: Collection[str] = (), few: bool | None = None
) -> DuckQuery:
    """The tables of a snapshot; ``now`` is the time in its manifest. Tables not collected are absent; those of what
    lies outside the databases are empty.

    ``without``: databases whose rows are left out. ``few``: as for :class:`DuckQuery`; None: judged by the files.
    """
    left_out = {file_stem(database) for database in without}
    size = sum(file.stat().st_size for label in every_label() for file in (folder / label).glob("*.parquet"))
    query = DuckQuery(spill=spill, few=size < _FEW if few is None else few)
    try:
        present = set()
        for label in sorted(every_label()):
            place = folder / label
            if place.is_dir() or label in outside():
                # the planner assumes that every file is as long as the first, which must not be cell0's
                files = [file for file in place.glob("*.parquet") if file.stem.rpartition("-")[0] not in left_out]
                query.add_files(label, sorted(files, key=lambda file: -file.stat().st_size))
                present.add(label)
        query.ready(now, present)
    except StackmendError:
        query.close()
        raise
    return query
