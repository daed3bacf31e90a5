# SPDX-License-Identifier: Apache-2.0
"""The accounts have what ``config grants`` prints and nothing more: everything works, and a grant less is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pymysql
import pytest

from stackmend.app import audits
from stackmend.app.privileges import grants as rights
from stackmend.cli.shell import main
from stackmend.drivers.snapshot.selects import read_columns
from stackmend.model.errors import Exit
from stackmend.tables import secret_columns, secrets, tables
from stackmend_lab.cloud import build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.neutron import port_without_server

from ..support import granted_accounts
from ..support.granted_accounts import HOST, PASSWORD, Granted
from ..support.planning import plan_for

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "grants.json").read_text())
ATTACK = "takes one of the privileges away from an account that has exactly what it needs"


@pytest.fixture(scope="module")
def granted(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Granted]:
    """A cloud, and accounts that were given the statements by hand; the case book mends everything by such."""
    cloud = build(mariadb, servers=250, seed=7, prefix="grants_")
    cloud.save()
    with granted_accounts.granted(cloud, mariadb, tmp_path_factory.mktemp("grants"), "grants") as found:
        yield found
    cloud.close()


def test_nothing_is_missing(granted: Granted, capsys: pytest.CaptureFixture[str]) -> None:
    """``config check`` says so, and says nothing else."""
    assert main(["--config", str(granted.toml), "config", "check"]) == Exit.CLEAN
    assert capsys.readouterr().out == "every privilege that is needed is there\n"


def test_secrets_are_not_for_the_reader(granted: Granted) -> None:
    """Of secrets it may read only those that audits compare or follow; Keystone is nobody's to change."""
    read = {
        ("nova" if database.startswith("cell:") else database, table, column)
        for database, table, secret, some in (
            (one.database, one.table, secret_columns(one.database, one.table), {*one.columns})
            for one in granted.grants
            if one.role == "reader" and one.table
        )
        for column in (secret & some if some else secret)
    }
    followed = {("nova_api", "cell_mappings", "database_connection")}
    compared = {
        (part.service, table, column)
        for parts in tables().values()
        for part in parts
        for table, columns in read_columns(part).items()
        for column in columns
    }
    assert read == secrets() & compared | followed
    assert ("nova", "instances", "user_data") in secrets() - read
    keystone = [one for one in granted.grants if one.database == "keystone" and one.table]
    assert {one.table for one in keystone} == {
        "alembic_version", "id_mapping", "nonlocal_user", "project", "trust", "user",
    }  # fmt: skip
    assert {(one.role, one.verbs) for one in keystone} == {("reader", ("SELECT",))}
    name = granted.schema("cell:cell1")
    reader = pymysql.connect(host=HOST, port=granted.server.port, user=granted.reader, password=PASSWORD, database=name)
    with reader, reader.cursor() as cursor:
        cursor.execute("SELECT uuid FROM instances LIMIT 1")
        for statement in ("SELECT user_data FROM instances", "SELECT * FROM instances", "DELETE FROM instances"):
            with pytest.raises(pymysql.MySQLError, match="denied"):
                cursor.execute(statement)


@pytest.fixture
def without(granted: Granted) -> Iterator[Callable[[rights.Grant], None]]:
    """Take a grant away; it is given back at the end."""
    taken: list[rights.Grant] = []

    def take(one: rights.Grant) -> None:
        granted.server.run(one.statement.replace("GRANT ", "REVOKE ", 1).replace(" TO '", " FROM '"))
        taken.append(one)

    yield take
    granted.server.run("\n".join(one.statement for one in taken))


@pytest.mark.attack(ATTACK)
def test_a_privilege_less_is_named(
    granted: Granted,
    without: Callable[[rights.Grant], None],
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    """Each kind of grant, of both roles: exit code 7, and exactly the statement that was taken back."""
    kinds = {(one.role, one.verbs, not one.table, not one.columns): one for one in granted.grants}
    assert len(kinds) >= 6
    for one in kinds.values():
        without(one)
        code = main(["--config", str(granted.toml), "config", "check", "-f", "json"])
        told = json.loads(capsys.readouterr().out)
        jsonschema.validate(told, SCHEMA)
        granted.server.run(one.statement)
        assert (code, [each["statement"] for each in told]) == (Exit.INCOMPLETE, [one.statement]), one
    record_property("tries", len(kinds))


def test_a_column_less_is_named(granted: Granted, capsys: pytest.CaptureFixture[str]) -> None:
    """The column alone is named, for people and as SQL."""
    account, table = f"'{granted.reader}'@'{HOST}'", f"`{granted.schema('cell:cell1')}`.`instances`"
    granted.server.run(f"REVOKE SELECT (`task_state`) ON {table} FROM {account}")
    try:
        assert main(["--config", str(granted.toml), "config", "check"]) == Exit.INCOMPLETE
    finally:
        granted.server.run(f"GRANT SELECT (`task_state`) ON {table} TO {account}")
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "the reader lacks SELECT (task_state) on table instances in database cell:cell1"
    assert last == f"GRANT SELECT (`task_state`) ON {table} TO {account};"


@pytest.mark.attack("leaves an account the right to see that a column exists, and takes the right to read it")
def test_a_column_that_may_not_be_read_is_no_empty_one(granted: Granted) -> None:
    """Checks that ask for it are incomplete and name it; a row without it is no before image, so nothing is planned."""
    granted.cloud.reset()
    port_without_server.plant(granted.cloud)
    account, table = f"'{granted.reader}'@'{HOST}'", f"`{granted.schema('neutron')}`.`ports`"
    columns = [str(row["Field"]) for row in granted.cloud.rows("neutron", "SHOW COLUMNS FROM ports")]
    plan = plan_for(granted.config, checks=("port-without-server",), allow_db=True, settle=0)
    assert len(plan.runnable) == 1
    for hidden, found in (("device_id", 0), ("ip_allocation", 1)):
        some = ", ".join(f"`{column}`" for column in columns if column != hidden)
        granted.server.run(f"REVOKE SELECT ON {table} FROM {account}; GRANT SELECT ({some}) ON {table} TO {account}")
        try:
            report = audits.audit(granted.config, checks=("port-without-server",), settle=0)
            plan = plan_for(granted.config, checks=("port-without-server",), allow_db=True, settle=0)
        finally:
            granted.server.run(
                f"REVOKE SELECT ({some}) ON {table} FROM {account}; GRANT SELECT ON {table} TO {account}"
            )
        assert (len(report.findings), plan.runnable) == (found, ())
        told = [*(one.reason for one in report.checks.values()), *(one.reason for one in plan.not_repaired)]
        assert any(hidden in reason for reason in told), told
