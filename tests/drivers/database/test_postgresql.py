# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: what reads changes nothing, values are as on other servers, and what is wrong has a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest

from stackmend.drivers.database.dialects import Address, Connection, dialect_of
from stackmend.drivers.database.rows import Connections
from stackmend.drivers.database.transactions import Lost, commit, execute
from stackmend.drivers.snapshot.decode import NULL, SEPARATOR, packed
from stackmend.drivers.writing.seal import Sealer
from stackmend.drivers.writing.writer import DatabaseWriter
from stackmend.model.errors import SilentError, SourceError
from stackmend.model.protocols import Reference
from stackmend.model.step import StepState, UpdateRow
from stackmend.model.writer import Group
from stackmend.tables import Column, ColumnType
from stackmend_lab.postgresql import PostgreSQL

SECRET = "Xyzzy-plugh-42"
SCHEMA = """
    CREATE TYPE state AS ENUM ('up', 'down');
    CREATE TABLE parent (id serial PRIMARY KEY, name varchar(40));
    CREATE TABLE child (a integer NOT NULL, b varchar(20) NOT NULL, parent_id integer REFERENCES parent (id),
                        PRIMARY KEY (b, a));
    INSERT INTO parent (name) VALUES ('one'), (NULL), ('');
    CREATE TABLE kinds (id integer PRIMARY KEY, flag boolean, share double precision, at timestamp, place inet,
                        state state, raw bytea, text varchar(40));
    INSERT INTO kinds VALUES (1, true, 0.5, '2026-11-30 16:05:09.25', '10.0.0.1', 'up', '\\x00ff', E'tab\\tand % sign'),
                             (2, false, NULL, '2026-03-01', 'fe80::1', NULL, NULL, NULL);
"""
ROWS = [
    (1, 1, 0.5, "2026-11-30 16:05:09.25", "10.0.0.1", "up", b"\x00\xff", "tab\tand % sign"),
    (2, 0, None, "2026-03-01 00:00:00", "fe80::1", None, None, None),
]


@pytest.fixture(scope="module")
def address(postgresql: PostgreSQL) -> Address:
    """A database whose owner reads it: only the session can refuse a change."""
    postgresql.create("dialects")
    postgresql.account("dialect", SECRET)
    postgresql.run('ALTER DATABASE dialects OWNER TO "dialect"')
    with closing(postgresql.connect("dialects")) as connection:
        connection.execute(f"GRANT ALL ON SCHEMA public TO dialect; SET ROLE dialect; {SCHEMA}".encode())
    return Address.from_url(postgresql.url("dialects", ("dialect", SECRET)))


@pytest.fixture
def session(address: Address) -> Iterator[Connection]:
    """A reading session."""
    with closing(dialect_of(address).connect(address)) as connection:
        yield connection


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


@pytest.fixture
def writing(address: Address) -> Iterator[Connection]:
    """A writing session."""
    with closing(dialect_of(address).connect(address, write=True)) as connection:
        yield connection


def test_a_writing_session_has_settings_of_its_own(address: Address, writing: Connection) -> None:
    """It waits shortly for locks, holds none for long in silence, and sees what is committed before each statement."""
    dialect = dialect_of(address)
    names = ("transaction_isolation", "transaction_read_only", "lock_timeout", "idle_in_transaction_session_timeout")
    dialect.begin_write(writing)

    assert [dialect.select(writing, f"SHOW {name}")[0][0] for name in names] == ["read committed", "off", "2s", "1min"]
    assert dialect.select(writing, "SHOW synchronous_commit") == [("on",)]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("session_replication_role = replica", "session_replication_role = 'replica'"),
        ("default_transaction_read_only = on", "default_transaction_read_only = 'on'"),
        ("lock_timeout = '7ms'", ""),
    ],
)
def test_what_an_account_is_given_is_looked_at(
    address: Address, postgresql: PostgreSQL, setting: str, said: str
) -> None:
    """Nothing is written where foreign keys are not enforced, or only reads are wanted; a shorter patience stays."""
    dialect, name = dialect_of(address), setting.partition(" ")[0]
    postgresql.run(f'ALTER ROLE "dialect" SET {setting}')
    try:
        if said:
            with pytest.raises(SourceError, match=said):
                dialect.connect(address, write=True)
            dialect.connect(address).close()
        else:
            with closing(dialect.connect(address, write=True)) as connection:
                assert dialect.select(connection, "SHOW lock_timeout") == [("7ms",)]
    finally:
        postgresql.run(f'ALTER ROLE "dialect" RESET {name}')


def test_a_commit_of_what_has_failed_is_no_commit(address: Address, writing: Connection) -> None:
    """The server answers ROLLBACK, and no error: it is told as what it is."""
    dialect = dialect_of(address)
    dialect.begin_write(writing)
    dialect.select(writing, "UPDATE parent SET name = 'lost' WHERE id = 1")
    with pytest.raises(SourceError):
        dialect.select(writing, "SELECT 1 / 0")
    with pytest.raises(Lost):
        commit(writing, "database dialects")

    dialect.begin_write(writing)
    assert dialect.select(writing, "SELECT name FROM parent WHERE id = 1") == [("one",)]


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_what_is_set_ends_with_its_transaction(address: Address, write: bool, kept: bool) -> None:
    """Behind a pooler of transactions the same session serves others next: they must not find our limits in it."""
    dialect, shown = dialect_of(address), "SELECT name, setting, source FROM pg_settings WHERE source = 'session'"
    with closing(dialect.connect(address, write=write)) as connection:
        dialect.begin_write(connection) if write else dialect.begin_snapshot(connection)
        assert dict(row[:2] for row in dialect.select(connection, shown))["row_security"] == "off"
        connection.commit() if kept else connection.rollback()
        with psycopg.ClientCursor(connection) as cursor:  # type: ignore[arg-type, var-annotated]
            assert cursor.execute(shown).fetchall() == []


def test_a_standby_is_told_by_its_answer(address: Address, session: Connection) -> None:
    """A standby, where a writer cannot begin, has no state of its own for it."""
    said = "cannot set transaction read-write mode during recovery"
    answer = f"DO $$ BEGIN RAISE EXCEPTION '{said}' USING ERRCODE = '0A000'; END $$"
    with pytest.raises(SourceError, match=said) as raised:
        dialect_of(address).select(session, answer)

    assert raised.value.hint.startswith("Is it a standby?")


@pytest.mark.parametrize("write", [False, True])
def test_tables_are_looked_for_where_the_account_has_them(
    address: Address, postgresql: PostgreSQL, write: bool
) -> None:
    """Another client of a pooler may have left the session in another schema, whose tables are empty."""
    dialect = dialect_of(address)
    postgresql.run("CREATE SCHEMA theirs; CREATE TABLE theirs.parent (id integer, name text)", "dialects")
    postgresql.run("GRANT USAGE ON SCHEMA theirs TO dialect", "dialects")
    try:
        with closing(dialect.connect(address, write=write)) as connection:
            with psycopg.ClientCursor(connection) as cursor:  # type: ignore[arg-type, var-annotated]
                cursor.execute("SET SESSION search_path = theirs; SET SESSION lock_timeout = 0")
            dialect.begin_write(connection) if write else dialect.begin_snapshot(connection)
            assert dialect.select(connection, "SELECT count(*) FROM parent") == [(3,)]
            assert "child" in dialect.introspect(connection)
    finally:
        postgresql.run("DROP SCHEMA theirs CASCADE", "dialects")


def test_a_transaction_that_took_too_long_is_not_tried_again(writing: Connection) -> None:
    """From release 17 on a server ends it (25P04); it would do so again, and nothing was refused."""
    answer = "DO $$ BEGIN RAISE EXCEPTION 'terminating connection' USING ERRCODE = '25P04'; END $$"
    with pytest.raises(SourceError, match="took too long"):
        execute(writing, answer, [], 0, "database dialects")


def test_a_connection_that_a_pooler_lost_is_tried_again(writing: Connection) -> None:
    """PgBouncer answers 08P01 ("server conn crashed?"): nothing was refused, and before the commit nothing is kept."""
    answer = "DO $$ BEGIN RAISE EXCEPTION 'server conn crashed?' USING ERRCODE = '08P01'; END $$"
    with pytest.raises(Lost):
        execute(writing, answer, [], 0, "database dialects")


@pytest.mark.parametrize("path", ["public,pg_catalog", "PUBLIC", ""])
def test_a_path_of_schemas_may_be_spelled_in_any_way(
    address: Address, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A configuration file's is shown as it was written, until somebody sets it."""
    monkeypatch.setenv("PGOPTIONS", f"-c search_path={path}")
    with closing(dialect_of(address).connect(address)) as connection:
        assert dialect_of(address).select(connection, "SHOW search_path") == [(path,)]


def test_what_others_have_set_is_noticed(address: Address, postgresql: PostgreSQL, writing: Connection) -> None:
    """A pooler may give us a session that another client has changed: nothing is written then."""
    dialect = dialect_of(address)
    postgresql.run('GRANT SET ON PARAMETER session_replication_role TO "dialect"')
    try:
        dialect.select(writing, "SET SESSION session_replication_role = 'replica'")
        commit(writing, "database dialects")
        with pytest.raises(SourceError, match="session_replication_role = 'replica' instead of 'origin'"):
            dialect.begin_write(writing)
    finally:
        postgresql.run('REVOKE SET ON PARAMETER session_replication_role FROM "dialect"')


@pytest.mark.parametrize("extra", ["trigger", "rule", "heir", "cascade"])
def test_a_table_that_does_more_than_it_is_told_is_known(
    address: Address, postgresql: PostgreSQL, session: Connection, extra: str
) -> None:
    """Triggers, and what does the same: rules, heirs with triggers of theirs, rows of other schemas that go along."""
    made = {
        "trigger": "CREATE TRIGGER one BEFORE UPDATE ON extra EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "rule": "CREATE RULE one AS ON DELETE TO extra DO INSTEAD NOTHING",
        "heir": "CREATE SCHEMA heirs; CREATE TABLE heirs.one () INHERITS (extra)",
        "cascade": "CREATE SCHEMA heirs; CREATE TABLE heirs.one (id integer REFERENCES extra ON DELETE CASCADE);"
        "CREATE TABLE harmless (id integer PRIMARY KEY); CREATE TABLE heirs.two (id integer REFERENCES harmless)",
    }
    each = made[extra].replace("EXECUTE", "FOR EACH ROW EXECUTE")
    postgresql.run(f"CREATE TABLE extra (id integer PRIMARY KEY); {each}", "dialects")
    try:
        assert dialect_of(address).triggers(session) == {"extra"}
    finally:
        postgresql.run("DROP SCHEMA IF EXISTS heirs CASCADE; DROP TABLE IF EXISTS extra, harmless", "dialects")


def test_rows_of_every_type_are_written_and_given_back(
    address: Address, writing: Connection, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A statement for many different rows knows the types of its columns; another one gives back the very values."""
    dialect, rows = dialect_of(address), 8
    names = ("flag", "share", "at", "place", "state", "raw", "text")
    values = [
        (
            n % 2,
            n + 0.1,
            f"2026-11-30 16:05:0{n}.25",
            f"10.0.0.{n}",
            ("up", "down", None)[n % 3],
            bytes([0, n]),
            f"\\x{n}'%",
        )
        for n in range(rows)
    ]
    sql = f"SELECT {', '.join(names)} FROM kinds WHERE id >= 100 ORDER BY id"
    for number in range(rows):
        dialect.select(writing, "INSERT INTO kinds (id) VALUES (%s)", [100 + number])
    commit(writing, "database dialects")
    nothing = dict.fromkeys(names)
    pairs = [(nothing, dict(zip(names, row, strict=True))) for row in values]
    writer = DatabaseWriter({"neutron": address}, {}, Sealer(tmp_path_factory.mktemp("seal") / "key"))
    try:
        for turn in (pairs, [(after, before) for before, after in pairs]):
            steps = [
                UpdateRow(database="neutron", table="kinds", pk={"id": 100 + n}, before=before, after=after)
                for n, (before, after) in enumerate(turn)
            ]
            groups = [Group(n, "neutron", (step,), (n,)) for n, step in enumerate(steps)]
            found = writer.write(groups, lambda _entries: None)
            assert [(one.state, one.note) for one in found] == [(StepState.DONE, "")] * rows
            left = [tuple(after[name] for name in names) for _, after in turn]
            assert dialect.select(writing, sql) == left
            assert [one.state for one in writer.write(groups, lambda _entries: None)] == [StepState.STALE] * rows
            writing.rollback()
    finally:
        writer.close()
        dialect.select(writing, "DELETE FROM kinds WHERE id >= 100")
        commit(writing, "database dialects")


def test_what_only_the_commit_checks_fails_its_group_alone(
    address: Address, postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A deferred constraint is answered to the COMMIT: that is a rollback, not a doubt."""
    postgresql.run(
        "CREATE TABLE late (id integer PRIMARY KEY, parent_id integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO late VALUES (1, 1), (2, 1), (3, 1); GRANT SELECT, UPDATE ON late TO dialect",
        "dialects",
    )
    writer = DatabaseWriter({"neutron": address}, {}, Sealer(tmp_path_factory.mktemp("seal") / "key"))
    what, before = {"database": "neutron", "table": "late"}, {"parent_id": 1}
    steps = [
        UpdateRow(**what, pk={"id": n}, before=before, after={"parent_id": p}) for n, p in ((1, 2), (2, 9), (3, 2))
    ]
    try:
        found = writer.write(
            [Group(n, "neutron", (step,), (n,)) for n, step in enumerate(steps)], lambda _entries: None
        )
    finally:
        writer.close()
        with closing(postgresql.connect("dialects")) as watching:
            rows = watching.execute("SELECT parent_id FROM late ORDER BY id").fetchall()
        postgresql.run("DROP TABLE late", "dialects")

    assert [one.state for one in found] == [StepState.DONE, StepState.FAILED, StepState.DONE]
    assert "(23503)" in found[1].note
    assert rows == [(2,), (1,), (2,)]


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
