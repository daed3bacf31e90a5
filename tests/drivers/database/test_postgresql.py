# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: what reads changes nothing, values are as on other servers, and what is wrong has a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import pytest

from stackmend.drivers.database.dialects import Address, Connection, dialect_of
from stackmend.drivers.database.rows import Connections
from stackmend.drivers.snapshot.decode import NULL, SEPARATOR, packed
from stackmend.model.errors import SilentError, SourceError
from stackmend.model.protocols import Reference
from stackmend.tables import Column, ColumnType
from stackmend_lab.postgresql import PostgreSQL

from .conftest import SECRET

ROWS = [
    (1, 1, 0.5, "2026-11-30 16:05:09.25", "10.0.0.1", "up", b"\x00\xff", "tab\tand % sign"),
    (2, 0, None, "2026-03-01 00:00:00", "fe80::1", None, None, None),
]


def test_an_address_names_one_database() -> None:
    """The port of PostgreSQL is the default, the password is hidden, and each database has a session of its own."""
    one = Address.from_url(f"postgresql+psycopg2://reader:{SECRET}@DB/nova")
    other = Address.from_url("postgresql://reader@db/neutron")

    assert (one.scheme, one.host, one.port, one.database) == ("postgresql", "db", 5432, "nova")
    assert one.redacted == "postgresql://reader@db:5432/nova"
    assert SECRET not in repr(one)
    assert one.server != other.server


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO parent (id, name) VALUES (4, 'four')",
        "UPDATE parent SET name = 'other' WHERE id = 1",
        "DELETE FROM parent WHERE id = 3",
        "CREATE TABLE another (id integer)",
        "SELECT nextval('parent_id_seq')",
        "SELECT id FROM parent FOR UPDATE",
    ],
)
def test_no_reading_session_changes_anything(address: Address, statement: str) -> None:
    """The server refuses it, whatever the account may do."""
    dialect = dialect_of(address)
    with closing(dialect.connect(address)) as connection:
        dialect.begin_write(connection)
        with pytest.raises(SourceError, match=r"read-only transaction \(25006\)"):
            dialect.select(connection, statement)


def test_values_are_those_of_other_servers(address: Address, session: Connection) -> None:
    """Booleans are 0 and 1, times are text in one format, addresses have no mask, whatever the server's settings."""
    sql = "SELECT id, flag, share, at, place, state, raw, text FROM kinds ORDER BY id"

    assert dialect_of(address).select(session, sql) == ROWS


def test_streamed_rows_are_the_same(address: Address) -> None:
    """One text a row, read through a cursor on the server, gives what is read value by value."""
    dialect = dialect_of(address)
    names = ("flag", "share", "at", "place", "state", "text")
    kinds = (ColumnType.BOOL, ColumnType.FLOAT, ColumnType.TIME, *(ColumnType.TEXT,) * 3)
    text = ", ".join(dialect.as_text(f't."{name}"', NULL) for name in names)
    with closing(dialect.reader(address)) as reader:
        reader.begin()
        batches = list(reader.stream(f"SELECT CONCAT_WS('{SEPARATOR}', {text}) FROM kinds t ORDER BY id", 1))
    columns = [Column(name, kind) for name, kind in zip(names, kinds, strict=True)]
    arrays = packed([row[0] for batch in batches for row in batch], columns, lambda *_: None)

    assert [len(batch) for batch in batches] == [1, 1]
    found = [array.to_pylist() for array in arrays]
    assert [str(moment).rstrip("0") for moment in found.pop(2)] == ["2026-11-30 16:05:09.25", "2026-03-01 00:00:"]
    assert found == [[True, False], [0.5, None], ["10.0.0.1", "fe80::1"], ["up", None], ["tab\tand % sign", None]]


def test_parameters_have_the_type_of_what_they_meet(address: Address, session: Connection) -> None:
    """A number is compared with a boolean and a text, as stackmend compares it on other servers; NULL equals NULL."""
    dialect = dialect_of(address)

    assert dialect.select(session, "SELECT id FROM kinds WHERE flag = %s AND text LIKE %s", [1, "%an%"]) == [(1,)]
    assert dialect.select(session, "SELECT id FROM kinds WHERE id IN (%s, %s) AND flag = %s", [1, 2, 0]) == [(2,)]
    where = dialect.null_safe("share")
    assert dialect.select(session, f"SELECT id FROM kinds WHERE {where}", [None]) == [(2,)]


def test_fragments_of_tables_are_understood(address: Address, session: Connection) -> None:
    """Comparisons of booleans with numbers, and functions that have other names here."""
    dialect = dialect_of(address)
    types = {"t": dialect.introspect(session)["kinds"].columns}
    sql = (
        "SELECT (t.\"flag\" <> 0), INSTR(t.text, 'and'), HEX(REPLACE(t.text, 'tab', 'x')), SUBSTR(t.at, 1, 10),"
        " SUBSTR(t.text, 1, 3) FROM kinds t WHERE t.flag = 1 AND t.id = 1"
    )

    assert dialect.select(session, dialect.adapted(sql, types)) == [(1, 5, "x\tand % sign", "2026-11-30", "tab")]


def test_the_catalog_tells_what_there_is(address: Address, session: Connection) -> None:
    """Columns in order, keys in theirs, foreign keys, and no table of another schema."""
    found = dialect_of(address).introspect(session)

    assert set(found) == {"parent", "child", "kinds"}
    assert list(found["child"].columns.items()) == [
        ("a", "integer"), ("b", "character varying(20)"), ("parent_id", "integer"),
    ]  # fmt: skip
    assert found["child"].key == ("b", "a")
    assert found["child"].references == (Reference("child", ("parent_id",), "parent", ("id",)),)
    assert dialect_of(address).sight(session).everything


def test_what_an_account_may_not_read_is_seen_to_be_there(address: Address, postgresql: PostgreSQL) -> None:
    """The catalog is open to all: a column without SELECT is hidden, not missing, and the server says what lacks."""
    postgresql.account("narrow", SECRET)
    postgresql.run("GRANT SELECT (id, flag) ON kinds TO narrow", "dialects")
    dialect, narrow = dialect_of(address), address.under("narrow", SECRET)
    with closing(dialect.connect(narrow)) as connection:
        info = dialect.introspect(connection)["kinds"]
        lacking = dialect.lacks(connection, "kinds", ("id", "text"), ("SELECT",))
        with pytest.raises(SourceError, match="permission denied for table kinds") as raised:
            dialect.select(connection, "SELECT text FROM kinds")

    assert set(info.columns) == {"id", "flag"}
    assert {"text", "place"} <= info.hidden
    assert lacking == ["SELECT"]
    assert "Grant" in raised.value.hint


def test_rows_hidden_by_a_policy_are_refused(address: Address, postgresql: PostgreSQL) -> None:
    """A table that shows an account some of its rows cannot be read: the others would look missing."""
    postgresql.account("policed", SECRET)
    postgresql.run(
        "CREATE TABLE guarded (id integer); INSERT INTO guarded VALUES (1); GRANT SELECT ON guarded TO policed;"
        "ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON guarded USING (false)",
        "dialects",
    )
    there = address.under("policed", SECRET)
    try:
        with (
            closing(dialect_of(there).connect(there)) as connection,
            pytest.raises(SourceError, match="row-level security"),
        ):
            dialect_of(there).select(connection, "SELECT id FROM guarded")
    finally:
        postgresql.run("DROP TABLE guarded", "dialects")


def test_a_view_stands_still(address: Address, session: Connection, postgresql: PostgreSQL) -> None:
    """What is committed after the view was opened is not in it, and is in the next one."""
    dialect, sql = dialect_of(address), "SELECT count(*) FROM parent"
    dialect.begin_snapshot(session)
    postgresql.run("INSERT INTO parent (id, name) VALUES (77, 'late')", "dialects")
    try:
        within = dialect.select(session, sql)
        session.rollback()
        after = dialect.select(session, sql)
    finally:
        postgresql.run("DELETE FROM parent WHERE id = 77", "dialects")

    assert (within, after) == ([(3,)], [(4,)])


def test_a_frozen_server_is_given_up(address: Address) -> None:
    """A server that accepts and no longer answers is named after the limit, not waited for."""
    dialect, there = dialect_of(address), replace(address, silence=2.0)
    with closing(dialect.connect(there)) as connection:
        ((pid,),) = dialect.select(connection, "SELECT pg_backend_pid()")
        os.kill(pid, signal.SIGSTOP)
        begin = time.monotonic()
        try:
            with pytest.raises(SilentError, match=r"dialects cannot be read: no answer for 2 s"):
                dialect.select(connection, "SELECT 1")
        finally:
            os.kill(pid, signal.SIGCONT)

    assert time.monotonic() - begin < 30


def test_the_server_ends_what_takes_too_long(address: Address, postgresql: PostgreSQL) -> None:
    """A statement that nobody waits for any more does not run on."""
    there = replace(address, silence=3.0)
    with closing(dialect_of(there).connect(there)) as connection, closing(postgresql.connect()) as watching:
        ((pid,),) = dialect_of(there).select(connection, "SELECT pg_backend_pid()")
        with pytest.raises(SourceError, match=r"statement timeout|no answer"):
            dialect_of(there).select(connection, "SELECT pg_sleep(600)")
        running = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
        end = time.monotonic() + 60
        while watching.execute(running, (pid,)).fetchall() and time.monotonic() < end:
            time.sleep(0.2)

        assert watching.execute(running, (pid,)).fetchall() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": "wrong"}, "The account or its password is wrong"),
        ({"database": "nowhere"}, "The database name in the URL is wrong"),
        ({"port": 1}, "Is the server running"),
    ],
)
def test_errors_say_where_and_never_the_password(address: Address, changed: dict[str, object], said: str) -> None:
    """Each names the database and the way out."""
    there = replace(address, **changed)  # type: ignore[arg-type]
    with pytest.raises(SourceError) as raised:
        dialect_of(there).connect(there)

    assert raised.value.message.startswith(there.redacted)
    assert said in raised.value.hint
    assert SECRET not in raised.value.message + raised.value.hint


def test_a_view_is_opened_on_a_new_connection_if_the_old_one_is_gone(address: Address, postgresql: PostgreSQL) -> None:
    """A server, or what is before it, ends those that have been idle for long: that costs no view."""
    connections = Connections({"neutron": address}, {})
    with closing(connections):
        for _ in range(2):
            connections.view("neutron")
            assert connections.get("neutron")[0].select(connections.get("neutron")[1], "SELECT 1") == [(1,)]
            connections.leave("neutron")
            postgresql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dialect'")
            time.sleep(0.2)


def test_text_without_an_encoding_is_no_crash(postgresql: PostgreSQL) -> None:
    """In SQL_ASCII a text may be any bytes: what is not UTF-8 is an error that names the database."""
    postgresql.run("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    there = Address.from_url(postgresql.url("bytes"))
    with (
        closing(dialect_of(there).connect(there)) as connection,
        pytest.raises(SourceError, match=r"bytes cannot be read: .*0xff"),
    ):
        dialect_of(there).select(connection, r"SELECT convert_from('\xff', 'SQL_ASCII')")


def test_how_busy_the_server_is(address: Address, session: Connection) -> None:
    """Sessions, and how many there may be; a primary has no lag."""
    load = dialect_of(address).load(session)

    assert load is not None
    assert 1 <= load.connected < load.connections
    assert (load.lag, load.history, load.apart) == (None, None, "")


def test_the_driver_is_optional(address: Address) -> None:
    """Nothing imports it until a database is on PostgreSQL; without it, the error names what to install."""
    program = (
        "import sys\n"
        "from stackmend.drivers.database.dialects import Address, dialect_of\n"
        "from stackmend.model.errors import ConfigError\n"
        "import stackmend.app.plans, stackmend.app.audits\n"
        "assert 'psycopg' not in sys.modules\n"
        "sys.modules['psycopg'] = None\n"
        "there = Address.from_url('postgresql://reader@127.0.0.1:1/nova')\n"
        "try:\n"
        "    dialect_of(there).connect(there)\n"
        "except ConfigError as problem:\n"
        "    print(problem.message, problem.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "the driver psycopg is not installed" in done.stdout
    assert "pip install 'stackmend[postgresql]'" in done.stdout
