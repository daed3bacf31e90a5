# SPDX-License-Identifier: Apache-2.0
"""Dialects: who reads cannot write, errors say where and never the password, values and tables are told as they are."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stackmend.drivers.database.dialects import Address, Connection, Dialect, dialect_of
from stackmend.drivers.database.dialects.mysql import _NativeReader, _PythonReader
from stackmend.model.errors import ConfigError, SourceError, StackmendError
from stackmend.model.protocols import Reference
from stackmend_lab.mariadb import MariaDB

SECRET = "Xyzzy-plugh-42"
TABLES = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(40))",
    "CREATE TABLE child (a INTEGER NOT NULL, b VARCHAR(20) NOT NULL, parent_id INTEGER, PRIMARY KEY (b, a),"
    " FOREIGN KEY (parent_id) REFERENCES parent (id))",
    "INSERT INTO parent (id, name) VALUES (1, 'one'), (2, NULL), (3, '')",
)
WRITES = (
    "INSERT INTO parent (id, name) VALUES (4, 'four')",
    "UPDATE parent SET name = 'other' WHERE id = 1",
    "DELETE FROM parent WHERE id = 1",
    "CREATE TABLE another (id INTEGER)",
    "DROP TABLE child",
)


@dataclass(frozen=True)
class Place:
    """A database with two tables, and a way round the dialect to look at it."""

    address: Address
    dialect: Dialect
    raw: Callable[[str], list[tuple[Any, ...]]]

    def reading(self) -> Connection:
        """A connection of the reading side."""
        return self.dialect.connect(self.address)


@pytest.fixture(scope="module")
def on_mariadb(mariadb: MariaDB) -> Iterator[Place]:
    """The tables on MariaDB; the account may do everything there, so only the session can refuse."""
    mariadb.create("dialects")
    mariadb.account("dialect", SECRET, "ALL PRIVILEGES ON dialects.*")
    with mariadb.connect("dialects") as connection:

        def raw(sql: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())

        for statement in TABLES:
            raw(statement)
        address = Address.from_url(mariadb.url("dialects", ("dialect", SECRET)))
        yield Place(address, dialect_of(address), raw)


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The tables in an SQLite file."""
    file = tmp_path_factory.mktemp("dialects") / "dialects.db"
    connection = sqlite3.connect(file, isolation_level=None)

    def raw(sql: str) -> list[tuple[Any, ...]]:
        return connection.execute(sql).fetchall()

    for statement in TABLES:
        raw(statement)
    address = Address.from_url(f"sqlite:///{file}")
    yield Place(address, dialect_of(address), raw)
    connection.close()


@pytest.fixture(params=["mariadb", "sqlite"])
def place(request: pytest.FixtureRequest) -> Place:
    """Either of them."""
    found: Place = request.getfixturevalue(f"on_{request.param}")
    return found


def told(problem: StackmendError) -> str:
    """Everything of an error that anybody could ever print."""
    whole = "".join(traceback.format_exception(problem))
    return "\n".join([problem.message, problem.hint, repr(problem), str(problem), whole])


# -- reading only


@pytest.mark.parametrize("snapshot", [False, True], ids=["plain", "snapshot"])
@pytest.mark.parametrize("sql", WRITES)
def test_a_reading_connection_cannot_write(place: Place, sql: str, snapshot: bool) -> None:
    """The server, not our good will, refuses every write through a reading connection; nothing is changed."""
    before = place.raw("SELECT id, name FROM parent ORDER BY id")
    connection = place.reading()
    try:
        if snapshot:
            place.dialect.begin_snapshot(connection)
        with pytest.raises(SourceError):
            place.dialect.select(connection, sql)
    finally:
        connection.close()
    assert place.raw("SELECT id, name FROM parent ORDER BY id") == before
    assert place.raw("SELECT COUNT(*) FROM child") == [(0,)]


@pytest.mark.parametrize("sql", WRITES)
def test_a_stream_cannot_write(place: Place, sql: str) -> None:
    """The connection that streams whole tables is refused just as well."""
    before = place.raw("SELECT id, name FROM parent ORDER BY id")
    reader = place.dialect.reader(place.address)
    try:
        reader.begin()
        with pytest.raises(SourceError):
            list(reader.stream(sql, 10))
    finally:
        reader.close()
    assert place.raw("SELECT id, name FROM parent ORDER BY id") == before


def test_a_writing_connection_can(place: Place) -> None:
    """The refusals above are not for want of rights: a writing connection changes what it is told to."""
    connection = place.dialect.connect(place.address, write=True)
    place.dialect.begin_write(connection)
    place.dialect.select(connection, "UPDATE parent SET name = 'written' WHERE id = 1")
    connection.commit()
    assert place.raw("SELECT name FROM parent WHERE id = 1") == [("written",)]
    place.dialect.begin_write(connection)
    place.dialect.select(connection, "UPDATE parent SET name = 'one' WHERE id = 1")
    connection.commit()
    connection.close()
    assert place.raw("SELECT name FROM parent WHERE id = 1") == [("one",)]


def test_a_snapshot_is_one_moment(on_mariadb: Place) -> None:
    """What is committed after a view was opened is not in it."""
    connection = on_mariadb.reading()
    on_mariadb.dialect.begin_snapshot(connection)
    on_mariadb.raw("INSERT INTO parent (id, name) VALUES (9, 'late')")
    seen = on_mariadb.dialect.select(connection, "SELECT COUNT(*) FROM parent WHERE id = 9")
    on_mariadb.raw("DELETE FROM parent WHERE id = 9")
    connection.close()
    assert seen == [(0,)]


@pytest.mark.parametrize("reader", [_NativeReader, _PythonReader])
def test_both_clients_stream_the_same(on_mariadb: Place, reader: Any) -> None:
    """mysqlclient and PyMySQL give the same bytes in the same batches, from one view of all databases."""
    stream = reader(on_mariadb.address)
    stream.begin()
    batches = [list(batch) for batch in stream.stream("SELECT id, name FROM dialects.parent ORDER BY id", 2)]
    stream.close()
    assert batches == [[(b"1", b"one"), (b"2", None)], [(b"3", b"")]]


# -- what is said


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"password": SECRET + "-wrong"}, ["dialect", "127.0.0.1", "dialects"]),
        ({"username": "nobody"}, ["nobody", "127.0.0.1", "dialects"]),
        ({"database": "nowhere"}, ["dialect", "127.0.0.1", "nowhere"]),
        ({"port": 1}, ["dialect", "127.0.0.1:1", "dialects"]),
        ({"host": "no..host"}, ["dialect", "no..host", "dialects"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("way", ["connect", "write", "native", "python"])
def test_a_refusal_says_where_and_never_the_password(
    on_mariadb: Place, change: dict[str, Any], names: list[str], way: str
) -> None:
    """Account, host and database are named, by every way in; the password is in no part of the error."""
    address = replace(on_mariadb.address, **change)
    ways: dict[str, Callable[[], object]] = {
        "connect": lambda: on_mariadb.dialect.connect(address),
        "write": lambda: on_mariadb.dialect.connect(address, write=True),
        "native": lambda: _streamed(_NativeReader(address), address),
        "python": lambda: _streamed(_PythonReader(address), address),
    }
    with pytest.raises(SourceError) as caught:
        ways[way]()
    assert [name for name in names if name not in caught.value.message] == []
    assert SECRET not in told(caught.value)


def _streamed(reader: Any, address: Address) -> object:
    """Streams name their database in SQL, not when they connect."""
    try:
        reader.begin()
        return list(reader.stream(f"SELECT 1 FROM `{address.database}`.`parent`", 1))
    finally:
        reader.close()


@pytest.mark.parametrize("write", [False, True])
def test_a_certificate_that_is_not_there_is_an_error(on_mariadb: Place, write: bool) -> None:
    """What the operating system refuses on the way to a server is told like what the server refuses."""
    address = replace(on_mariadb.address, options={"ssl_ca": "/nowhere/ca.pem"})
    with pytest.raises(SourceError, match=r"dialect@127\.0\.0\.1:\d+/dialects cannot be read") as caught:
        on_mariadb.dialect.connect(address, write=write)
    assert caught.value.hint
    assert SECRET not in told(caught.value)


@pytest.mark.parametrize("change", [{"password": "wrong"}, {"database": "nowhere"}, {"port": 1}])
def test_a_refusal_says_what_to_do(on_mariadb: Place, change: dict[str, Any]) -> None:
    """What operators get wrong comes with a hint."""
    with pytest.raises(SourceError) as caught:
        on_mariadb.dialect.connect(replace(on_mariadb.address, **change))
    assert caught.value.hint


def test_a_query_that_fails_says_where(on_mariadb: Place) -> None:
    """An error of a statement names the database too, and the table that is not there."""
    connection = on_mariadb.reading()
    with pytest.raises(SourceError, match=r"dialect@127\.0\.0\.1:\d+/dialects.*nothing_here") as caught:
        on_mariadb.dialect.select(connection, "SELECT 1 FROM nothing_here")
    connection.close()
    assert SECRET not in told(caught.value)


@pytest.mark.parametrize("content", [None, b"this is no database, but a text that is long enough " * 4])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A missing file and one that holds something else are named, with a hint; no empty database is made."""
    file = tmp_path / "cloud.db"
    if content:
        file.write_bytes(content)
    address = Address.from_url(f"sqlite:///{file}")
    with pytest.raises(SourceError, match=str(file)) as caught:
        dialect_of(address).connect(address)
    assert caught.value.hint
    assert file.exists() == bool(content)


# -- addresses


def test_an_address_never_shows_its_password() -> None:
    """Neither its text nor its representation nor a format has the password or the options."""
    address = Address.from_url(f"mysql+pymysql://reader:{SECRET}@db.example:3307/nova?ssl_key={SECRET}")
    shown = f"{address} {address!r} {address.redacted} {[address]} {address.server}"
    assert SECRET not in shown
    assert address.redacted == "mysql://reader@db.example:3307/nova"
    assert (address.password, address.options) == (SECRET, {"ssl_key": SECRET})


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_whatever_is_percent_encoded_is_read_back(name: str, password: str) -> None:
    """Account and password may hold any character."""
    if _unsendable(name + password):
        return
    address = Address.from_url(f"mysql://{quote(name, safe='')}:{quote(password, safe='')}@db/nova")
    assert (address.username, address.password, address.host, address.database) == (name, password, "db", "nova")


def _unsendable(text: str) -> bool:
    return any(0xD800 <= ord(c) <= 0xDFFF for c in text)


@settings(deadline=None)
@given(st.text("abc12/@:?#[]%& ", max_size=8), st.text("abc12/@:?#[]%& ", max_size=8))
@example("12/", "")
@example("12/", "@")
@example("1?", "")
@example("[", "")
def test_a_password_that_was_not_encoded_is_never_shown(before: str, after: str) -> None:
    """Forgotten encoding makes an error, or an address; in neither does any text hold the password."""
    try:
        address = Address.from_url(f"mysql://reader:{before}{SECRET}{after}@db/nova")
        shown = f"{address} {address!r} {address.server}"
    except ConfigError as problem:
        shown = told(problem)
    assert SECRET not in shown


@pytest.mark.parametrize(
    "url",
    [
        "mysql://reader@db",
        "mysql://reader@db/",
        "mysql://reader@db:port/nova",
        "mysql://reader@db:99999/nova",
        "mysql://reader:one@two@db/nova",
        "mysql://reader:one@two/three?@db/nova",
        "mysql://rea/der@db",
        "mysql://[::1/nova",
        "oracle://reader@db/nova",
        "postgresql://reader@db/",
        "sqlite://",
        "nova",
        "",
    ],
)
def test_an_url_that_is_none_is_refused(url: str) -> None:
    """What cannot be a database is an error that says which setting it was, with a hint."""
    with pytest.raises(ConfigError, match="the URL of neutron") as caught:
        Address.from_url(url, "the URL of neutron")
    assert caught.value.hint


def test_a_certificate_that_is_not_there_is_named() -> None:
    """A URL of a container names a file of the container."""
    address = Address.from_url(f"mysql://reader:{SECRET}@127.0.0.1:9/nova?ssl_ca=/nowhere/ca.pem")
    with pytest.raises(SourceError, match=r"/nowhere/ca\.pem in its URL does not exist") as caught:
        dialect_of(address).connect(address)
    assert SECRET not in told(caught.value)


# -- values and tables


def test_null_equals_null(place: Place) -> None:
    """The null-safe comparison finds NULL by None, text by text, and never the empty text by None."""
    connection = place.reading()
    sql = f"SELECT id FROM parent WHERE {place.dialect.null_safe('name')}"
    found = {value: place.dialect.select(connection, sql, [value]) for value in (None, "one", "", "two")}
    connection.close()
    assert found == {None: [(2,)], "one": [(1,)], "": [(3,)], "two": []}


def test_names_are_quoted(place: Place) -> None:
    """A column called like a word of SQL, or with a quote in it, is a name all the same."""
    connection = place.reading()
    sql = f"SELECT 7 AS {place.dialect.quote('order')}, 8 AS {place.dialect.quote('a`b')}"
    found = place.dialect.select(connection, sql)
    connection.close()
    assert found == [(7, 8)]


def test_tables_are_introspected(place: Place) -> None:
    """Columns in order with their types, the primary key in its own order, and what refers to what."""
    connection = place.reading()
    known = place.dialect.introspect(connection, place.address.database)
    connection.close()
    assert set(known) == {"parent", "child"}
    child = known["child"]
    assert list(child.columns) == ["a", "b", "parent_id"]
    assert child.columns["b"].lower() == "varchar(20)"
    assert child.key == ("b", "a")
    assert child.references == (Reference("child", ("parent_id",), "parent", ("id",)),)
    assert known["parent"].references == ()


def test_the_clock_is_utc(place: Place) -> None:
    """The clock of the database is UTC, whatever time zone the session of somebody else has."""
    connection = place.reading()
    before = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    now = place.dialect.utcnow(connection)
    after = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    connection.close()
    assert before <= now <= after


def test_values_are_canonical(on_mariadb: Place) -> None:
    """Numbers are numbers, bytes are bytes, and times are the text that is stored, possible or not."""
    on_mariadb.raw(
        "CREATE OR REPLACE TABLE kinds (i BIGINT, t TINYINT(1), f DOUBLE, d DECIMAL(10,2), s VARCHAR(20),"
        " e VARCHAR(20), b BLOB, m DATETIME(6), z DATETIME, x DATE, n INTEGER)"
    )
    on_mariadb.raw("SET sql_mode = ''")
    on_mariadb.raw(
        "INSERT INTO kinds VALUES (-9007199254740993, 1, 1.5, 2.50, '\U0001f600', '', x'00ff1f15',"
        " '2026-01-02 03:04:05.000007', '0000-00-00 00:00:00', '2026-00-00', NULL)"
    )
    connection = on_mariadb.reading()
    (row,) = on_mariadb.dialect.select(connection, "SELECT * FROM kinds")
    connection.close()
    on_mariadb.raw("DROP TABLE kinds")
    assert row == (
        -9007199254740993,
        1,
        1.5,
        "2.50",
        "\U0001f600",
        "",
        b"\x00\xff\x1f\x15",
        "2026-01-02 03:04:05.000007",
        "0000-00-00 00:00:00",
        "2026-00-00",
        None,
    )


def test_sqlite_gives_text_that_is_none_as_bytes(on_sqlite: Place) -> None:
    """One value that is no UTF-8 does not make a table unreadable."""
    connection = on_sqlite.reading()
    found = on_sqlite.dialect.select(connection, "SELECT CAST(x'ff61' AS TEXT), 'a', NULL, x'00', 1.5")
    connection.close()
    assert found == [(b"\xff\x61", "a", None, b"\x00", 1.5)]


def test_a_table_that_the_server_cannot_open_is_no_absent_one(on_mariadb: Place, mariadb: MariaDB) -> None:
    """information_schema leaves it out with a warning; here that is an error. A table without a key is none."""
    on_mariadb.raw("CREATE TABLE whole (id INT)")
    on_mariadb.raw("CREATE TABLE harmed (id INT PRIMARY KEY)")
    file = mariadb.folder / "data" / "dialects" / "harmed.frm"
    sane = file.read_bytes()
    connection = on_mariadb.reading()
    try:
        assert on_mariadb.dialect.introspect(connection)["whole"].key == ()
        file.write_bytes(b"no table")
        on_mariadb.raw("FLUSH TABLES")
        with pytest.raises(SourceError, match="the server does not describe harmed") as caught:
            on_mariadb.dialect.introspect(connection)
        assert "CHECK TABLE" in caught.value.hint
    finally:
        connection.close()
        file.write_bytes(sane)
        on_mariadb.raw("FLUSH TABLES")
        on_mariadb.raw("DROP TABLE whole, harmed")
