# SPDX-License-Identifier: Apache-2.0
"""Writing on a real PostgreSQL: the settings of a transaction, what ends one, and what a row takes."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from stackmend.drivers.database.dialects import Address, Connection, dialect_of
from stackmend.drivers.database.transactions import Lost, commit, execute
from stackmend.drivers.writing.seal import Sealer
from stackmend.drivers.writing.writer import DatabaseWriter
from stackmend.model.errors import SourceError
from stackmend.model.step import StepState, UpdateRow
from stackmend.model.writer import Group
from stackmend_lab.postgresql import PostgreSQL


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
