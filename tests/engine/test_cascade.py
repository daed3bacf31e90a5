# SPDX-License-Identifier: Apache-2.0
"""No row goes with another one unseen: what a foreign key would take along is named, or the deletion is not made."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from stackmend.app import runs
from stackmend.app.session import CloudSession
from stackmend.config.settings import load
from stackmend.drivers.database.dialects import Address
from stackmend.drivers.database.rows import Connections
from stackmend.drivers.writing.seal import Sealer
from stackmend.drivers.writing.writer import DatabaseWriter
from stackmend.engine.running.lanes import lanes
from stackmend.model.errors import Exit, SourceError
from stackmend.model.plan import Plan
from stackmend.model.protocols import Reference
from stackmend.model.step import DeleteRow, InsertRow, StepState, UpdateRow
from stackmend.model.writer import Group
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.neutron import port_without_server

from ..support.damaged_cloud import Ground, Mortal, damaged, ground, made
from ..support.planning import plan_for


@pytest.fixture
def port(here: Ground) -> str:
    """A port that the audit wants to delete."""
    found = str(port_without_server.VARIANTS["of_the_build"](here.cloud)["port"])
    assert found
    return found


def planned(here: Ground) -> Plan:
    """The plan for it."""
    return plan_for(here.config, checks=("port-without-server",), allow_db=True, settle=0)


def trunk(here: Ground, port: str) -> str:
    """Somebody makes the port the parent of a trunk, with a subport."""
    cloud, name = here.cloud, str(uuid.uuid4())
    attribute = cloud.insert("neutron", "standardattributes", resource_type="trunks", revision_number=0)
    cloud.insert(
        "neutron", "trunks", id=name, port_id=port, project_id="p", status="ACTIVE", admin_state_up=1,
        standard_attr_id=attribute,
    )  # fmt: skip
    (other,) = cloud.rows("neutron", "SELECT id FROM ports WHERE id <> :p LIMIT 1", {"p": port})
    subport = {"port_id": other["id"], "trunk_id": name, "segmentation_type": "vlan", "segmentation_id": 7}
    cloud.insert("neutron", "subports", **subport)
    return "trunks"


def shared(here: Ground, port: str) -> str:
    """A security group, by old damage, has the same ``standardattributes`` row as the port."""
    cloud = here.cloud
    (row,) = cloud.rows("neutron", "SELECT standard_attr_id AS id FROM ports WHERE id = :p", {"p": port})
    group = str(uuid.uuid4())
    cloud.insert("neutron", "securitygroups", id=group, project_id="p", name="web", stateful=1,
                 standard_attr_id=row["id"])  # fmt: skip
    rule = cloud.insert("neutron", "standardattributes", resource_type="securitygrouprules", revision_number=0)
    cloud.insert("neutron", "securitygrouprules", id=str(uuid.uuid4()), project_id="p", security_group_id=group,
                 direction="ingress", ethertype="IPv4", standard_attr_id=rule)  # fmt: skip
    return "securitygroups"


Hang = Callable[[Ground, str], str]


@pytest.mark.attack("hangs rows on a port that a repair deletes: a trunk, a shared standardattributes row")
@pytest.mark.parametrize("hang", [trunk, shared])
def test_what_hangs_on_it_before_the_plan_refuses_the_repair(here: Ground, port: str, hang: Hang) -> None:
    """Neither is deleted in the plan: it says by which table, and nothing is lost."""
    table = hang(here, port)
    before = here.cloud.dump()
    plan = planned(here)
    steps = [step for action in plan.runnable for step in action.steps]
    assert not any(isinstance(step, DeleteRow) and step.table == "ports" for step in steps)
    assert steps or table in plan.not_repaired[0].reason
    runs.apply(here.config, plan, accept=("all",))
    after = here.cloud.dump()
    for name in (table, "subports", "securitygrouprules", "standardattributes"):
        rows = before.get(("neutron", name), [])
        assert len(after.get(("neutron", name), [])) == len(rows)


@pytest.mark.attack("hangs rows on a port between plan and apply")
@pytest.mark.parametrize("hang", [trunk, shared])
def test_what_hangs_on_it_after_the_plan_makes_it_stale(here: Ground, port: str, hang: Hang) -> None:
    """The port stays with all that hangs on it, to the byte; exit 5, and the table is named."""
    plan = planned(here)
    assert any(isinstance(step, DeleteRow) and step.table == "ports" for a in plan.runnable for step in a.steps)
    table = hang(here, port)
    before = here.cloud.dump()
    result = runs.apply(here.config, plan, accept=("all",))
    assert (result.exit, result.stale, result.steps) == (Exit.STOPPED, 1, 0)
    assert f"{table} now has a row that would go with one of" in result.notes[0]
    assert here.cloud.dump() == before


def test_parents_come_back_before_their_children(here: Ground, port: str) -> None:
    """The port with all its children is deleted and put back in order, to the byte."""
    before = here.cloud.dump()
    result = runs.apply(here.config, planned(here), accept=("all",))
    assert (result.exit, result.done) == (Exit.REPAIRED, 1)
    assert here.cloud.rows("neutron", "SELECT id FROM ports WHERE id = :p", {"p": port}) == []
    back = runs.undo(here.config, result.run)
    assert (back.exit, back.notes) == (Exit.CLEAN, ())
    assert here.cloud.dump() == before


# -- every deletion, every foreign key


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def harmed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mortal: Mortal
) -> Iterator[Ground]:
    """A cloud of its own, for what is planted there stays."""
    server: MariaDB | None = request.getfixturevalue("mariadb") if request.param == "mariadb" else None
    prefix = {"prefix": "cascade_"} if server else {}
    with ground(server, tmp_path_factory.mktemp("cascade"), mortal, **prefix) as here:
        yield here


@contextmanager
def writing(here: Ground) -> Iterator[tuple[DatabaseWriter, Connections]]:
    """A writer to this cloud, and what is known of its tables."""
    databases = CloudSession.of(here.config, write=True).databases
    known = Connections(databases.addresses, databases.errors)
    writer = DatabaseWriter(databases.addresses, databases.errors, Sealer(here.folder / "key"))
    with closing(writer), closing(known):
        yield writer, known


def deletions(plan: Plan) -> Iterator[tuple[Group, DeleteRow]]:
    """Every step that deletes, with the group that it is made in."""
    for lane in lanes(plan.runnable):
        for group in lane.groups:
            for step in group.steps:
                if isinstance(step, DeleteRow):
                    yield group, step


def child(known: Connections, step: DeleteRow, reference: Reference) -> dict[str, Any]:
    """A row that refers to the one that is deleted, with something in every column."""
    info = known.table(step.database, reference.table)
    values: dict[str, Any] = {name: _something(kind) for name, kind in info.columns.items()}
    given = {**step.before, **step.pk}
    return values | {c: given[p] for c, p in zip(reference.columns, reference.parent_columns, strict=True)}


def _something(kind: str) -> Any:
    kind = kind.lower()
    if kind.startswith("enum"):
        return kind.split("'")[1]
    if any(word in kind for word in ("date", "time")):
        return "2026-01-01 00:00:00"
    number = ("int", "bool", "float", "double", "decimal", "numeric")
    return 1 if any(word in kind for word in number) else "x"


@contextmanager
def unchecked(here: Ground, database: str) -> Iterator[None]:
    """Rows may be inserted whose other references lead nowhere."""
    mysql = here.cloud.databases[database].startswith("mysql")
    if mysql:
        here.cloud.execute(database, "SET foreign_key_checks = 0, sql_mode = ''")
    try:
        yield
    finally:
        if mysql:
            here.cloud.execute(database, "SET foreign_key_checks = 1, sql_mode = DEFAULT")


@pytest.mark.attack("adds, after the plan, a row to each table that refers to a row which any repair deletes")
def test_each_foreign_key_of_each_deletion(harmed: Ground, record_property: Callable[[str, object], None]) -> None:
    """Whatever refers to a row by now, by CASCADE, SET NULL or RESTRICT: the group is stale, the row stays."""
    here, tries, done = harmed, 0, set()
    plan = damaged(here)
    with writing(here) as (writer, known):
        for group, step in deletions(plan):
            for reference in known.referring(step.database, step.table):
                if (step.database, reference) in done:
                    continue
                row = child(known, step, reference)
                if not _inserted(here, step.database, reference.table, row):
                    continue
                done.add((step.database, reference))
                tries += 1
                (verdict,) = writer.write([group], lambda _entries: None)
                assert verdict.state is StepState.STALE, (step.table, reference)
                assert "would go with" in verdict.note
                here.cloud.reset()
    record_property("tries", tries)
    assert tries >= 30


def _inserted(here: Ground, database: str, table: str, row: Mapping[str, Any]) -> bool:
    """Insert it; False where the table has its one row for it already, which the plan deletes, too."""
    with unchecked(here, database):
        try:
            here.cloud.insert(database, table, **row)
        except (pymysql.err.IntegrityError, sqlite3.IntegrityError):
            return False  # a key that is taken, a CHECK of SQLite: there can be no such row
    return True


def test_a_row_may_refer_to_itself(on_sqlite: Ground) -> None:
    """A provider that is its own root can be deleted: what goes with it is itself. (InnoDB refuses that by itself.)"""
    here = on_sqlite
    name = str(uuid.uuid4())
    own = here.cloud.insert("placement", "resource_providers", uuid=name, name="edge", generation=0)
    here.cloud.update("placement", "resource_providers", {"id": own}, root_provider_id=own)
    before = here.cloud.dump()
    (row,) = here.cloud.rows("placement", "SELECT * FROM resource_providers WHERE id = :i", {"i": own})
    row = {c: v if v is None or isinstance(v, int | str) else str(v) for c, v in row.items()}
    step = DeleteRow(database="placement", table="resource_providers", pk={"id": own}, before=row)
    result = runs.apply(here.config, made(here, [step]))
    assert result.done == 1, result.notes
    assert runs.undo(here.config, result.run).exit is Exit.CLEAN
    assert here.cloud.dump() == before


def test_undo_leaves_an_inserted_row_on_which_others_hang(here: Ground) -> None:
    """A row that the run has inserted has got a child since: undo leaves both."""
    values = {"resource_type": "ports", "revision_number": 3, "description": "made"}
    step = InsertRow(database="neutron", table="standardattributes", key={"description": "made"}, values=values)
    run = runs.apply(here.config, made(here, [step])).run
    (row,) = here.cloud.rows("neutron", "SELECT id FROM standardattributes WHERE description = 'made'")
    here.cloud.insert("neutron", "tags", standard_attr_id=row["id"], tag="theirs")
    result = runs.undo(here.config, run)
    assert (result.exit, result.stale) == (Exit.STOPPED, 1)
    assert "tags now has a row" in result.notes[0]
    assert len(here.cloud.rows("neutron", "SELECT tag FROM tags WHERE tag = 'theirs'")) == 1


# -- what the account may not see


@contextmanager
def account(here: Ground, server: MariaDB, name: str, *, without: str = "", rights: str = "SELECT") -> Iterator[None]:
    """An account on every database of the cloud; on Neutron's table by table, but for one."""
    schemas = {n: sa.engine.make_url(url).database for n, url in here.cloud.databases.items()}
    neutron = schemas.pop("neutron")
    server.account(name, "secret", f"{rights} ON {next(iter(schemas.values()))}.*")
    grants = [f"GRANT {rights} ON {schema}.* TO '{name}'@'127.0.0.1'" for schema in schemas.values()]
    if without:
        every = "SELECT table_name AS t FROM information_schema.tables WHERE table_schema = DATABASE()"
        tables = [row["t"] for row in here.cloud.rows("neutron", every)]
        grants += [f"GRANT {rights} ON {neutron}.`{t}` TO '{name}'@'127.0.0.1'" for t in tables if t != without]
    else:
        grants.append(f"GRANT {rights} ON {neutron}.* TO '{name}'@'127.0.0.1'")
    server.run(";".join(grants))
    try:
        yield
    finally:
        server.run(f"DROP USER '{name}'@'127.0.0.1'")


def configured(here: Ground, **accounts: str) -> Path:
    """A configuration with other accounts."""
    text = here.cloud.toml(same_account="writer" not in accounts)
    if reader := accounts.get("reader"):
        url = sa.engine.make_url(here.cloud.databases["neutron"])
        text = text.replace(f"{url.username}:{url.password}@", f"{reader}:secret@")
        text += f'\n[reader]\nusername = "{reader}"\npassword = "secret"\n'
    if writer := accounts.get("writer"):
        text += f'\n[writer]\nusername = "{writer}"\npassword = "secret"\n'
    file = here.folder / "accounts.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.attack("hides a table that refers to ports from the reading account, while a trunk hangs on the port")
def test_a_table_that_cannot_be_seen_is_not_taken_for_empty(on_mariadb: Ground, mariadb: MariaDB) -> None:
    """No deletion is planned, and the reason is the right that is missing."""
    here = on_mariadb
    port = str(port_without_server.VARIANTS["of_the_build"](here.cloud)["port"])
    trunk(here, port)
    with account(here, mariadb, "blind", without="trunks"):
        config = load(str(configured(here, reader="blind")))
        plan = plan_for(config, checks=("port-without-server",), allow_db=True, settle=0)
    assert plan.runnable == ()
    assert "may not see table trunks in database neutron" in plan.not_repaired[0].reason


@pytest.mark.attack("hides a table that refers to ports from the writing account alone, a trunk comes after the plan")
def test_a_table_that_the_writer_cannot_see(on_mariadb: Ground, mariadb: MariaDB) -> None:
    """Apply deletes nothing, says why, and the trunk stays."""
    here = on_mariadb
    port = str(port_without_server.VARIANTS["of_the_build"](here.cloud)["port"])
    plan = planned(here)
    trunk(here, port)
    before = here.cloud.dump()
    with account(here, mariadb, "halfblind", without="trunks", rights="SELECT, INSERT, UPDATE, DELETE"):
        result = runs.apply(load(str(configured(here, writer="halfblind"))), plan, accept=("all",))
    assert (result.exit, result.failed, result.steps) == (Exit.STOPPED, 1, 0)
    assert "may not see every table of database neutron" in result.notes[0]
    assert "Grant" in result.notes[0]
    assert here.cloud.dump() == before


@pytest.mark.attack("takes the right to read away, table by table, from all that refer to what is deleted")
def test_rights_taken_away_table_by_table(
    on_mariadb: Ground, mariadb: MariaDB, record_property: Callable[[str, object], None]
) -> None:
    """Whichever it is: what refers to the row is unknown, never nothing."""
    here = on_mariadb
    address = Address.from_url(here.cloud.databases["neutron"])
    with closing(Connections({"neutron": address}, {})) as known:
        hidden = {r.table for t in ("ports", "standardattributes") for r in known.referring("neutron", t)}
    tries = 0
    with account(here, mariadb, "picked", without="trunks"):
        mariadb.run(f"GRANT SELECT ON {address.database}.trunks TO 'picked'@'127.0.0.1'")
        for table in sorted(hidden):
            mariadb.run(f"REVOKE SELECT ON {address.database}.`{table}` FROM 'picked'@'127.0.0.1'")
            with closing(Connections({"neutron": address.under("picked", "secret")}, {})) as some:
                for parent in ("ports", "standardattributes"):
                    with pytest.raises(SourceError, match=r"may not see every table|has no right"):
                        some.referring("neutron", parent)
                    tries += 1
            mariadb.run(f"GRANT SELECT ON {address.database}.`{table}` TO 'picked'@'127.0.0.1'")
    record_property("tries", tries)
    assert tries >= 60


# -- triggers, and undo's last act


def described(here: Ground) -> UpdateRow:
    """Change the description of a row."""
    (row,) = here.cloud.rows("neutron", "SELECT id, description FROM standardattributes ORDER BY id LIMIT 1")
    where = {"database": "neutron", "table": "standardattributes", "pk": {"id": row["id"]}}
    return UpdateRow(**where, before={"description": row["description"]}, after={"description": "new"})


@contextmanager
def trigger(here: Ground, body: str) -> Iterator[None]:
    """A trigger on every change of these rows."""
    here.cloud.execute("neutron", f"CREATE TRIGGER meddle {body}")
    try:
        yield
    finally:
        here.cloud.execute("neutron", "DROP TRIGGER meddle")


def test_a_table_with_triggers_is_left_alone(here: Ground) -> None:
    """What a trigger would do is in no plan: nothing is written."""
    plan = made(here, [described(here)])
    before = here.cloud.dump()
    body = "UPDATE standardattributes SET revision_number = 9 WHERE id = 1"
    mysql = here.cloud.databases["neutron"].startswith("mysql")
    body = "SET NEW.revision_number = 9" if mysql else f"BEGIN {body}; END"
    with trigger(here, f"BEFORE UPDATE ON standardattributes FOR EACH ROW {body}"):
        result = runs.apply(here.config, plan)
    assert (result.exit, result.failed) == (Exit.STOPPED, 1)
    assert "has triggers" in result.notes[0]
    assert here.cloud.dump() == before


@pytest.mark.attack("changes a column so that the server bends what undo puts back")
def test_undo_says_what_it_could_not_bring_back(on_mariadb: Ground) -> None:
    """Its last act compares: the row and the column are named, without a value, and the exit code is not 0."""
    here = on_mariadb
    (row,) = here.cloud.rows("neutron", "SELECT id FROM standardattributes ORDER BY id LIMIT 1")
    here.cloud.update("neutron", "standardattributes", {"id": row["id"]}, description="blanks   ")
    run = runs.apply(here.config, made(here, [described(here)])).run
    change = "ALTER TABLE standardattributes MODIFY description {}(255)"
    here.cloud.execute("neutron", change.format("CHAR"))
    try:
        result = runs.undo(here.config, run)
    finally:
        here.cloud.execute("neutron", change.format("VARCHAR"))
    assert (result.exit, result.done) == (Exit.STOPPED, 1), result.notes
    (note,) = result.notes
    assert note.startswith(f"not restored: standardattributes ({row['id']}) in database neutron: description")
    assert "blanks" not in note
