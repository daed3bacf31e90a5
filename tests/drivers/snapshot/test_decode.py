# SPDX-License-Identifier: Apache-2.0
"""Rows come out of a database as they are in it, packed or plain; what cannot be decoded is noted, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymysql import Connection

from stackmend.drivers.database.dialects import Address, dialect_of
from stackmend.drivers.database.dialects.mysql import _NativeReader, _PythonReader
from stackmend.drivers.snapshot.decode import NULL, SEPARATOR, Unpackable, packed, plain
from stackmend.drivers.snapshot.selects import Select, select
from stackmend.tables import Column, ColumnType, Table
from stackmend_lab.mariadb import MariaDB

TABLE = Table(
    service="neutron",
    name="odd",
    columns=(
        Column("id", ColumnType.INT),
        Column("a"),
        Column("n", ColumnType.INT),
        Column("f", ColumnType.FLOAT),
        Column("b", ColumnType.BOOL),
        Column("t", ColumnType.TIME),
        Column("deleted", ColumnType.DELETED),
        Column("z"),
    ),
)
Row = tuple[Any, ...]


class Odd:
    """A table on MariaDB that takes anything, and the ways to read it."""

    def __init__(self, server: MariaDB) -> None:
        server.create("odd")
        self.raw: Connection[Any] = server.connect("odd")
        self.run(
            "CREATE TABLE odd (id INTEGER PRIMARY KEY, a TEXT, n BIGINT, f DOUBLE, b TINYINT(1), t DATETIME(6),"
            " deleted INTEGER, z VARCHAR(200)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )
        self.run("CREATE TABLE single (a VARCHAR(200)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        self.run("SET sql_mode = '', lock_wait_timeout = 20")
        self.address = Address.from_url(server.url("odd"))
        self.dialect = dialect_of(self.address)
        connection = self.dialect.connect(self.address)
        self.known = self.dialect.introspect(connection)
        connection.close()
        self.readers = {"native": _NativeReader(self.address), "python": _PythonReader(self.address)}

    def run(self, sql: str, parameters: Row = ()) -> list[Row]:
        """A statement by the means of PyMySQL alone."""
        with self.raw.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def fill(self, rows: list[Row], table: str = "odd") -> None:
        """These rows and no others."""
        self.run(f"DELETE FROM {table}")
        with self.raw.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)

    def read(self, reader: str, table: Table = TABLE) -> tuple[list[Row], list[tuple[int, str, str]]]:
        """(rows, complaints) the way a table is collected, in order of the key."""
        query = select(self.dialect, self.address, table, self.known)
        assert query is not None
        stream = self.readers[reader]
        stream.begin()
        notes: list[tuple[int, str, str]] = []
        try:
            arrays = self._decoded(stream, query, query.packed, notes)
        except Unpackable:
            notes.clear()
            arrays = self._decoded(stream, query, query.plain, notes)
        return list(zip(*[a.to_pylist() for a in arrays], strict=True)), notes

    def _decoded(self, stream: Any, query: Select, sql: str, notes: list[Any]) -> list[pa.Array]:
        batches = [row for batch in stream.stream(f"{sql} ORDER BY 1", 1000) for row in batch]
        if sql == query.packed:
            batches.sort(
                key=lambda row: int(row[0].split(SEPARATOR.encode())[0]) if query.columns[0].name == "id" else 0
            )
            return packed([row[0] for row in batches], query.columns, lambda *note: notes.append(note))
        return plain(batches, query.columns, lambda *note: notes.append(note))

    def close(self) -> None:
        """Close all connections."""
        for reader in self.readers.values():
            reader.close()
        self.raw.close()


@pytest.fixture(scope="module")
def odd(mariadb: MariaDB) -> Iterator[Odd]:
    """The table, once."""
    found = Odd(mariadb)
    yield found
    found.close()


NASTY = [
    "", " ", "\\", "\\N", "NULL", "null", "'", '"', '""', "`", ",", "%s", "{}", "\t", "\n", "\r", "\r\n", "x\n",
    "x\r", "\nx", "\n\n", "\x00", "a\x00b", "\x1f", "a\x1fb", "\x1f\x1f", "a\x15", "\x15a", "a\x15b", "\x15\x15",
    "\x1a", "\x7f", "\ufeff", "\ufeffx", "\u2028", "\x85", "é", "e\u0301", "\U0001f600", "\U0010ffff", "x" * 200, " x ",
    "0", "1", "true", "2026-01-01", "-- x", "; DROP TABLE odd",
]  # fmt: skip


@pytest.mark.parametrize("reader", ["native", "python"])
@pytest.mark.parametrize("value", NASTY, ids=ascii)
def test_a_nasty_text_is_read_as_it_is(odd: Odd, value: str, reader: str) -> None:
    """Separators, ends of lines, quotes, marks and characters of four bytes, first and last in a row, among others."""
    rows = [
        (1, "before", 1, 0.5, 1, None, 0, "before"),
        (2, value, None, None, None, None, None, value),
        (3, value, 1, 0.5, 0, None, 3, None),
        (4, None, 1, 0.5, 0, None, 3, value),
        (5, "after", 1, 0.5, 1, None, 0, "after"),
    ]
    odd.fill(rows)
    found, notes = odd.read(reader)
    assert [(row[0], row[1], row[7]) for row in found] == [(row[0], row[1], row[7]) for row in rows]
    assert notes == []


@pytest.mark.parametrize("value", [v for v in NASTY if len(v) < 200], ids=ascii)
def test_a_nasty_text_alone_in_its_table(odd: Odd, value: str) -> None:
    """A table of one column has no separators that tell its rows apart."""
    table = Table(service="neutron", name="single", columns=(Column("a"),))
    odd.fill([(value,), (None,), ("z",)], "single")
    found, notes = odd.read("native", table)
    assert sorted(found, key=repr) == sorted([(value,), (None,), ("z",)], key=repr)
    assert notes == []


texts = st.none() | st.sampled_from(NASTY) | st.text(st.characters(codec="utf-8"), max_size=30)
# a text that is nothing but the mark for NULL is the one that packed rows cannot tell from it
texts = texts.filter(lambda value: value != NULL)
numbers = st.none() | st.integers(-(2**63), 2**63 - 1)
floats = st.none() | st.floats(-1e300, 1e300, allow_nan=False).map(lambda f: 0.0 if f == 0 or abs(f) < 1e-300 else f)
times = st.none() | st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59))
rows = st.lists(
    st.tuples(
        texts, numbers, floats, st.sampled_from([None, 0, 1]), times, st.none() | st.integers(0, 2**31 - 1), texts
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows)
@example(
    rows=[("a", 0, 0.1, 0, datetime(2026, 1, 2, 3, 4, 5, 6), 0, "z\r\n"), (None, None, None, None, None, None, None)]
)
def test_what_is_collected_is_what_a_select_says(odd: Odd, rows: list[Row]) -> None:
    """Any rows come back the same as from a plain SELECT by another client's own conversions."""
    odd.fill([(number, *row) for number, row in enumerate(rows)])
    expected = [
        (*row[:4], None if row[4] is None else bool(row[4]), row[5], None if row[6] is None else row[6] != 0, row[7])
        for row in odd.run("SELECT id, a, n, f, b, t, deleted, z FROM odd ORDER BY id")
    ]
    for reader in ("native", "python"):
        found, notes = odd.read(reader)
        assert notes == []
        assert [_rounded(row) for row in found] == [_rounded(row) for row in expected]


def _rounded(row: Row) -> Row:
    return tuple(float(f"{v:.14e}") if isinstance(v, float) and math.isfinite(v) else v for v in row)


@pytest.mark.parametrize("moment", ["0000-00-00 00:00:00", "2026-00-01 00:00:00", "2026-02-00 10:00:00"])
@pytest.mark.parametrize("reader", ["native", "python"])
def test_a_date_that_is_none_is_noted(odd: Odd, moment: str, reader: str) -> None:
    """A zero or impossible date becomes NULL with a complaint; the rest of its row and the other rows stand."""
    odd.fill([(1, "a", 1, None, 1, "2026-01-01", 0, "z"), (2, "b", 2, None, 0, moment, 0, "y")])
    found, notes = odd.read(reader)
    assert notes == [(1, "t", "impossible-date")]
    assert found == [
        (1, "a", 1, None, True, datetime(2026, 1, 1), False, "z"),
        (2, "b", 2, None, False, None, False, "y"),
    ]


@pytest.mark.parametrize("reader", ["native", "python"])
def test_bytes_that_are_no_text_are_noted(odd: Odd, reader: str) -> None:
    """Latin-1 in a column of bytes is a complaint about that value, which is shown as well as it can be."""
    name = f"raw_{reader}"
    odd.run(f"CREATE TABLE {name} (id INTEGER, a VARBINARY(20), z VARCHAR(20))")
    odd.fill([(1, b"caf\xe9", "é"), (2, b"caf\xc3\xa9", "z")], name)
    connection = odd.dialect.connect(odd.address)
    odd.known = odd.dialect.introspect(connection)
    connection.close()
    table = Table(service="neutron", name=name, columns=(Column("id", ColumnType.INT), Column("a"), Column("z")))
    found, notes = odd.read(reader, table)
    assert notes == [(0, "a", "bad-utf8")]
    assert found == [(1, "caf\ufffd", "é"), (2, "café", "z")]


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (ColumnType.INT, "12x", "bad-number"),
        (ColumnType.INT, 2**63, "bad-number"),
        (ColumnType.INT, math.inf, "bad-number"),
        (ColumnType.FLOAT, "one", "bad-number"),
        (ColumnType.BOOL, "maybe", "bad-number"),
        (ColumnType.TIME, "2026-02-30 00:00:00", "impossible-date"),
        (ColumnType.TIME, "yesterday", "impossible-date"),
        (ColumnType.TIME, 7, "impossible-date"),
        (ColumnType.TEXT, b"\xff", "bad-utf8"),
    ],
)
def test_one_bad_value_costs_itself(kind: ColumnType, value: Any, problem: str) -> None:
    """Whatever a database lets into a column, one value is noted and its neighbours are read."""
    notes: list[tuple[int, str, str]] = []
    good = {ColumnType.TIME: "2026-01-01 00:00:00", ColumnType.TEXT: b"t"}.get(kind, b"1")
    arrays = plain([[good], [value], [None], [good]], [Column("c", kind)], lambda *note: notes.append(note))
    assert notes == [(1, "c", problem)]
    found = arrays[0].to_pylist()
    assert found[0] == found[3] is not None
    assert found[1:3] == ["\ufffd" if kind is ColumnType.TEXT else None, None]


def test_packed_rows_that_do_not_come_apart_say_so() -> None:
    """A text with the separator in it is no guess: the table is to be read another way."""
    columns = [Column("a"), Column("b")]
    with pytest.raises(Unpackable):
        packed([b"a\x1fb", b"a\x1fb\x1fc"], columns, lambda *note: None)
