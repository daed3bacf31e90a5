# SPDX-License-Identifier: Apache-2.0
"""What the SQL of checks reads, held against what DuckDB says when it is not there."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import duckdb
import pytest

from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import ask, standing
from stackmend.engine.auditing.statements import EVERY, NotUnderstood, columns_read, parsed, tables_read
from stackmend.model.audit import CheckOutcome
from stackmend.model.check import Check
from stackmend.model.snapshot import UNREADABLE, Manifest, Source
from stackmend.tables import ColumnType, tables
from stackmend.tables.nova import VIFS
from stackmend.tables.views import VIEWS

each_check = pytest.mark.parametrize("check", catalogue.checks().values(), ids=lambda check: check.name)
TYPES = {
    ColumnType.INT: "BIGINT",
    ColumnType.FLOAT: "DOUBLE",
    ColumnType.BOOL: "BOOLEAN",
    ColumnType.DELETED: "BOOLEAN",
    ColumnType.TIME: "TIMESTAMP",
}
#: read because another table is made of it while it streams
COME_ALONG = {f"{VIFS.service}_{VIFS.name}"}


def _columns() -> dict[str, dict[str, str]]:
    """Label -> column -> type in DuckDB, of every table that a check may read and a source may lack."""
    found: dict[str, dict[str, str]] = {}
    for label, parts in {**tables(), VIFS.label: (VIFS,)}.items():
        here = found.setdefault(label, {})
        for table in parts:
            for column in table.columns:
                made = (
                    ("document", "vifs", "length", "crc32")
                    if column.kind is ColumnType.NETWORK_INFO
                    else (column.name,)
                )
                kind = TYPES.get(column.kind, "VARCHAR") if len(made) == 1 else "BIGINT"
                here |= {name: "VARCHAR" if name == "document" else kind for name in made}
            here |= {table.constant[0]: "VARCHAR"} if table.constant else {}
            here |= {"cell": "VARCHAR"} if table.service == "nova" else {}
    return found


def _lacks(check: Check, without: tuple[str, str] | None = None) -> bool:
    """Whether DuckDB refuses the statement on tables of which this column is not there."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE clock (now TIMESTAMP)")
        names = ("database", "table_name", "row_key", "column_name", "problem", "resource_type", "resource_id")
        connection.execute(f"CREATE TABLE {UNREADABLE} ({', '.join(f'{name} VARCHAR' for name in names)})")
        for label, columns in _columns().items():
            kept = [f'"{name}" {kind}' for name, kind in columns.items() if (label, name) != without]
            connection.execute(f'CREATE TABLE "{label}" ({", ".join(kept)})')
        try:
            for name in [view for view in VIEWS if view in tables_read(check.sql)]:
                connection.execute(f'CREATE VIEW "{name}" AS {VIEWS[name].sql}')
            bound = dict.fromkeys(["now", *check.ages], "TIMESTAMP '2026-11-21 03:00:00'")
            bound |= {name: str(number) for name, number in check.counts.items()}
            sql = check.sql
            for parameter in sorted(bound, key=len, reverse=True):
                sql = sql.replace(f"${parameter}", bound[parameter])
            connection.execute(f"EXPLAIN {sql}")
        except duckdb.BinderException:
            return True
    return False


@each_check
def test_the_tables_of_a_check_are_those_of_its_scopes(check: Check) -> None:
    """``reads`` names what the parser finds, and a table more only where another is made of it."""
    read = tables_read(check.sql) & {*tables(), VIFS.label, UNREADABLE}
    assert read <= set(check.reads) <= read | COME_ALONG


@pytest.mark.long
@each_check
def test_a_column_that_duckdb_misses_is_one_that_the_check_reads(check: Check) -> None:
    """Taken away one by one: where the statement cannot do without it, the parser has named it."""
    assert not _lacks(check)
    read = tables_read(check.sql)
    overlooked = [
        f"{label}.{column}"
        for label, columns in _columns().items()
        if label in read
        for column in columns
        if not {column, EVERY} & columns_read(check.sql, label) and _lacks(check, (label, column))
    ]
    assert overlooked == []


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT p.id FROM neutron_ports p WHERE p.status = 'x'", {"id", "status"}),
        ("SELECT id FROM neutron_ports", {"id"}),
        ("SELECT neutron_ports.id FROM neutron_ports", {"id"}),
        ('SELECT P."ID" FROM Neutron_Ports AS p', {"id"}),
        ("SELECT 'p.status' AS word FROM neutron_ports p -- p.host", set()),
        ("SELECT p.id AS status FROM neutron_ports p", {"id"}),
        ("SELECT p.id FROM cinder_volumes v JOIN neutron_ports p USING (device_id)", {"id", "device_id"}),
        ("SELECT COUNT(*) AS n FROM neutron_ports p", set()),
        ("SELECT * FROM neutron_ports", {EVERY}),
        ("SELECT p.* FROM neutron_ports p", {EVERY}),
        ("SELECT p FROM neutron_ports p", {EVERY, "p"}),
        ("SELECT COLUMNS('st.*') FROM neutron_ports", {EVERY}),
        ("SELECT p.id FROM cinder_volumes v NATURAL JOIN neutron_ports p", {"id", EVERY}),
        ("WITH a AS (SELECT p.status FROM neutron_ports p) SELECT a.status FROM a", {"status"}),
        ("SELECT 1 AS one FROM cinder_volumes v WHERE v.id IN (SELECT p.id FROM neutron_ports p)", {"id"}),
    ],
)
def test_columns_are_found_however_they_are_written(sql: str, columns: set[str]) -> None:
    """Through aliases, quotes, subqueries and stars; words in texts, comments and new names are none."""
    assert columns_read(sql, "neutron_ports") == columns


def test_a_view_reads_what_is_behind_it() -> None:
    """Tables and columns of views of views."""
    sql = "SELECT i.uuid FROM idle_servers i"
    behind = {"nova_instances", "nova_migrations", "nova_instance_actions", "nova_instance_actions_events"}
    assert behind <= tables_read(sql)
    assert {"hidden", "deleted", "vm_state"} <= columns_read(sql, "nova_instances")
    assert "finish_time" in columns_read(sql, "nova_instance_actions_events")


BROKEN: dict[str, Callable[[str], str]] = {
    "cut off": lambda sql: sql[: len(sql) // 2],
    "a bracket too few": lambda sql: sql.replace(")", "", 1),
    "an open text": lambda sql: f"{sql} AND 'x",
    "nothing": lambda _: "",
    "a comment alone": lambda _: "-- SELECT 1",
    "two statements": lambda sql: f"{sql}; SELECT 1",
    "no query": lambda _: "DROP TABLE nova_instances",
    "no SQL": lambda _: "find all ports",
    "too deep": lambda _: f"SELECT {'(' * 5000}1{')' * 5000} AS one",
}


def _manifest(*, hides: bool) -> Manifest:
    """Of a snapshot in which every database could be read; a column may be hidden in it."""
    names = ("nova_api", "cell:cell1", "neutron", "cinder", "placement", "glance", "keystone")
    unseen = {"neutron_ports": ("status",)} if hides else {}
    sources = tuple(Source(database=name, unseen=unseen if name == "neutron" else {}) for name in names)
    now = "2026-11-21 03:00:00"
    return Manifest(format="", created_at=now, now=now, skew=0.0, sources=sources, cells_known=True)


@pytest.mark.attack("breaks the SQL of a check, so that nobody can tell what it reads")
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_statement_is_no_answer_and_no_end(broken: Callable[[str], str]) -> None:
    """It has no answer and says why; the others have theirs. An audit goes on."""
    well, other = (catalogue.checks()[name] for name in ("volume-stuck-detaching", "port-binding-wrong-host"))
    ill = replace(other, name="ill", sql=broken(other.sql))
    rows, results = ask([ill, well], _Unasked(), _manifest(hides=True))
    assert results["ill"].outcome is CheckOutcome.INCOMPLETE
    assert "SQL" in results["ill"].reason
    assert "database neutron" not in results["ill"].reason
    assert results[well.name].outcome is CheckOutcome.OK
    assert set(rows) == {well.name}


def test_a_statement_is_parsed_only_where_something_is_hidden() -> None:
    """Where everything is shown, what a statement reads does not matter: DuckDB says what is wrong with it."""
    check = replace(catalogue.checks()["port-binding-wrong-host"], sql="SELECT (")
    assert standing(check, _manifest(hides=False)).speaks
    assert not standing(check, _manifest(hides=True)).speaks


class _Unasked:
    """A :class:`stackmend.model.protocols.Query` without rows."""

    def rows(self, sql: str, parameters: object) -> list[dict[str, object]]:
        """None."""
        assert sql
        assert parameters
        return []


WORDS = ("", "(", ")", "'", '"', "$", " AS ", " JOIN ", "SELECT ", "*", ";", "\x00", "::", "[")


@pytest.mark.attack("cuts, doubles and mixes the SQL of checks at random")
def test_the_parser_either_understands_or_says_that_it_does_not(record_property: Callable[[str, object], None]) -> None:
    """No other error comes out of it, whatever is given to it."""
    random_, statements = random.Random(3), [check.sql for check in catalogue.checks().values()]
    tries, said = 400, list[str]()
    for _ in range(tries):
        sql = random_.choice(statements)
        for _ in range(random_.randint(1, 3)):
            start = random_.randrange(len(sql))
            word = random_.choice(
                ["", "(", ")", "'", '"', "$", " AS ", " JOIN ", "SELECT ", "*", ";", "\x00", "::", "["]
            )
            sql = sql[:start] + word + sql[start + random_.randint(0, 30) :]
        try:
            parsed(sql)
        except NotUnderstood as problem:
            said.append(problem.message)
    record_property("tries", tries)
    assert 0 < len(said) < tries
    assert not any("\x1b" in message for message in said), "the parser marks the place with the codes of a terminal"
