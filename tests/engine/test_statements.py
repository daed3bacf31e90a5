# SPDX-License-Identifier: Apache-2.0
"""What the SQL of checks reads, held against what DuckDB says when it is not there."""

from __future__ import annotations

import duckdb
import pytest

from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.statements import EVERY, columns_read, tables_read, unkeyed_joins
from stackmend.model.check import Check
from stackmend.model.snapshot import UNREADABLE
from stackmend.tables import Kind, tables
from stackmend.tables.nova import VIFS
from stackmend.tables.views import VIEWS

each_check = pytest.mark.parametrize("check", catalogue.checks().values(), ids=lambda check: check.name)
TYPES = {
    Kind.INT: "BIGINT",
    Kind.FLOAT: "DOUBLE",
    Kind.BOOL: "BOOLEAN",
    Kind.DELETED: "BOOLEAN",
    Kind.TIME: "TIMESTAMP",
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
                made = ("document", "vifs", "length", "crc32") if column.kind is Kind.NETWORK_INFO else (column.name,)
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
            age = dict.fromkeys(["now", *check.ages], "2026-11-21 03:00:00")
            sql = check.sql
            for parameter in sorted(age, key=len, reverse=True):
                sql = sql.replace(f"${parameter}", f"TIMESTAMP '{age[parameter]}'")
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


@each_check
def test_every_join_of_a_check_has_a_key(check: Check) -> None:
    """An equality between a column of the joined table and one of a table before it, or the other side is the clock."""
    assert unkeyed_joins(check.sql) == []


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


@pytest.mark.parametrize(
    ("join", "keyed"),
    [
        ("JOIN neutron_ports p ON p.device_id = i.uuid", True),
        ("JOIN neutron_ports p ON LOWER(p.device_id) = LOWER(i.uuid)", True),
        ("JOIN neutron_ports p USING (uuid)", True),
        (", neutron_ports p WHERE p.device_id = i.uuid", True),
        ("CROSS JOIN clock c", True),
        (", neutron_ports p", False),
        ("CROSS JOIN neutron_ports p", False),
        ("JOIN neutron_ports p ON p.device_id > i.uuid", False),
        ("JOIN neutron_ports p ON p.status = 'ACTIVE'", False),
        ("JOIN neutron_ports p ON i.uuid = i.host", False),
        ("JOIN neutron_ports p ON p.device_id = i.uuid OR p.status = 'ACTIVE'", False),
        ("JOIN neutron_ports p ON NOT p.device_id = i.uuid", False),
    ],
)
def test_a_join_without_a_key_is_seen(join: str, keyed: bool) -> None:
    """What compares every row with every row is named, however it is written."""
    assert (unkeyed_joins(f"SELECT i.uuid FROM nova_instances i {join}") == []) is keyed
