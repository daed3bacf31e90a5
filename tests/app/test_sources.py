# SPDX-License-Identifier: Apache-2.0
"""A source that cannot be read makes checks incomplete by name; it never makes anything look orphaned (R1, R2, R7)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackmend.app.audits import audit
from stackmend.config.settings import load
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import CheckOutcome, Report
from stackmend.model.errors import Exit
from stackmend.model.snapshot import UNREADABLE
from stackmend.tables import tables
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.plants.common import unreadable_row
from stackmend_lab.plants.neutron import port_without_server

SECRET = "Xyzzy-plugh-42"
CHECKS = catalogue.checks()
CELLS = ("cell0", "cell1", "cell2")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A small healthy cloud in SQLite files, restored before each test, its schema too."""
    cloud = build(tmp_path_factory.mktemp("sources") / "cloud", servers=60, seed=11)
    cloud.save()
    yield cloud
    cloud.close()


@pytest.fixture
def cloud(built: Cloud) -> Cloud:
    """The cloud as it was built."""
    built.reset()
    return built


@pytest.fixture
def asked(cloud: Cloud, tmp_path: Path) -> Callable[..., Report]:
    """Audit the cloud; ``instead`` replaces lines of its configuration by their beginnings."""

    def report(*checks: str, instead: dict[str, str] | None = None) -> Report:
        lines = cloud.toml().splitlines()
        for begin, line in (instead or {}).items():
            lines = [line if old.startswith(begin + " ") else old for old in lines]
        path = tmp_path / "cloud.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        return audit(load(str(path)), checks=checks, settle=0)

    return report


def service_of(database: str) -> str:
    """As tables name it."""
    return "nova" if database.startswith("cell:") else database


def readers(database: str) -> set[str]:
    """The checks that may not say "clean" without this database."""
    own = service_of(database)
    need = "cells" if own == "nova" else database
    return {
        name
        for name, check in CHECKS.items()
        if need in check.needs
        or UNREADABLE in check.reads
        or own in {t.service for label in check.reads for t in tables().get(label, ())}
    }


def incomplete(report: Report) -> dict[str, str]:
    """Checks without a whole answer, with the reason."""
    assert {r.outcome for r in report.checks.values()} <= {CheckOutcome.OK, CheckOutcome.INCOMPLETE}
    return {name: r.reason for name, r in report.checks.items() if r.outcome is CheckOutcome.INCOMPLETE}


BROKEN = {
    "dead port": f"mysql+pymysql://nova:{SECRET}@127.0.0.1:1/nova",
    "missing database": "sqlite:////nowhere/nova.db",
    "no sense": f"mysql+pymysql://nova:{SECRET}@127.0.0.1:x/nova",
    "template": "{scheme}://{username}:{password}@{nothing}/nova",
}


@pytest.mark.parametrize(
    ("cell", "why"),
    [*((cell, "dead port") for cell in CELLS), *(("cell2", why) for why in BROKEN if why != "dead port")],
)
def test_a_cell_that_cannot_be_reached(cloud: Cloud, asked: Callable[..., Report], cell: str, why: str) -> None:
    """Exit 7; every check on servers is incomplete and names the cell; nothing is found; Cinder's own checks answer."""
    cloud.update("nova_api", "cell_mappings", {"name": cell}, database_connection=BROKEN[why])
    report = asked()
    assert report.exit is Exit.INCOMPLETE
    assert report.findings == ()
    found = incomplete(report)
    assert set(found) == readers(f"cell:{cell}")
    assert [name for name, reason in found.items() if f"cell:{cell}" not in reason] == []
    assert "volume-stuck-error-deleting" in set(report.checks) - set(found)
    assert SECRET not in repr(report)


@pytest.mark.parametrize("cell", CELLS)
def test_a_broken_cloud_with_an_unreachable_cell_yields_no_orphans(
    cloud: Cloud, asked: Callable[..., Report], cell: str
) -> None:
    """A port whose server is really gone is not reported either: it might live in the cell that was not read."""
    port_without_server.plant(cloud)
    assert [f.check for f in asked().findings] == ["port-without-server"]
    cloud.update("nova_api", "cell_mappings", {"name": cell}, database_connection=BROKEN["dead port"])
    report = asked("port-without-server")
    assert (report.exit, report.findings) == (Exit.INCOMPLETE, ())


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_no_check_answers_for_cells_that_nobody_knows(cloud: Cloud, asked: Callable[..., Report], name: str) -> None:
    """Without cell_mappings each check on servers, asked alone, is incomplete: no cell was read, so none is clean."""
    cloud.execute("nova_api", "DROP TABLE cell_mappings")
    report = asked(name)
    needs = name in readers("cell:cell1") | readers("nova_api")
    assert report.exit is (Exit.INCOMPLETE if needs else Exit.CLEAN)
    assert report.findings == ()


@pytest.mark.parametrize("database", ["nova_api", "neutron", "cinder", "placement"])
@pytest.mark.parametrize(
    "line",
    ["", '{name} = "sqlite:////nowhere/x.db"', f'{{name}} = "mysql://reader:{SECRET}@127.0.0.1:1/x"'],
    ids=["not configured", "missing", "dead port"],
)
def test_a_database_that_cannot_be_read(asked: Callable[..., Report], database: str, line: str) -> None:
    """Exactly the checks that read it are incomplete, by its name; a healthy cloud without it has no findings."""
    report = asked(instead={database: line.format(name=database)})
    assert report.exit is Exit.INCOMPLETE
    assert report.findings == ()
    found = incomplete(report)
    wanted = readers(database) | (readers("cell:cell1") if database == "nova_api" else set())
    assert set(found) == wanted
    assert [n for n, why in found.items() if database not in why and "not every cell is known" not in why] == []
    assert SECRET not in repr(report)


#: (database, statement, label, column or "*")
LACKING = [
    ("neutron", "DROP TABLE ml2_port_bindings", "neutron_ml2_port_bindings", "*"),
    ("cinder", "DROP TABLE snapshots", "cinder_snapshots", "*"),
    ("placement", "DROP TABLE resource_classes", "placement_resource_classes", "*"),
    ("cell:cell1", "DROP TABLE instance_info_caches", "nova_instance_info_caches", "*"),
    ("cell:cell2", "DROP TABLE services", "nova_services", "*"),
    ("cell:cell1", "DROP TABLE block_device_mapping", "nova_block_device_mapping", "*"),
    ("cell:cell1", "ALTER TABLE instance_info_caches DROP COLUMN network_info", "nova_vifs", "network_info"),
    ("cell:cell1", "ALTER TABLE services DROP COLUMN forced_down", "nova_services", "forced_down"),
    ("cinder", "ALTER TABLE volumes DROP COLUMN migration_status", "cinder_volumes", "migration_status"),
    # without the column that tells which rows are wanted, the table is as good as missing
    (
        "neutron",
        "ALTER TABLE standardattributes RENAME COLUMN resource_type TO kind",
        "neutron_standardattributes",
        "*",
    ),
]


def alike(label: str) -> set[str]:
    """The labels of the same table: there may be several."""
    own = {(part.service, part.name) for part in tables().get(label, ())}
    return {other for other, parts in tables().items() if own & {(part.service, part.name) for part in parts}}


@pytest.mark.parametrize(("database", "sql", "label", "column"), LACKING, ids=lambda value: str(value)[:45])
def test_what_the_schema_lacks(
    cloud: Cloud, asked: Callable[..., Report], database: str, sql: str, label: str, column: str
) -> None:
    """A missing table or column silences only checks that read it, and names itself; rows do not seem to be gone."""
    cloud.execute(database, "PRAGMA foreign_keys = OFF")
    cloud.execute(database, sql)
    report = asked()
    assert report.findings == ()
    found = incomplete(report)
    assert report.exit is (Exit.INCOMPLETE if found else Exit.CLEAN)
    labels = alike(label)
    lacking = labels if column == "*" else {column, *labels}  # a column may say which rows are wanted
    assert [name for name, why in found.items() if database not in why or not any(one in why for one in lacking)] == []
    reading = {name for name, check in CHECKS.items() if label in check.reads}
    if column == "*":
        assert {name for name in reading if label in CHECKS[name].sql} <= set(found)
        assert found
    elif label != "nova_vifs":
        assert {name for name in reading if column in CHECKS[name].sql} <= set(found)
        assert set(found) <= {name for name, check in CHECKS.items() if labels & set(check.reads)}
    else:
        assert {name for name in reading if label in CHECKS[name].sql} <= set(found)


def test_a_missing_column_makes_no_findings_of_what_is_broken(cloud: Cloud, asked: Callable[..., Report]) -> None:
    """Without instances.host every server would look like one without a host; nobody says so, nothing is planned."""
    for cell in CELLS:
        cloud.execute(f"cell:{cell}", "PRAGMA foreign_keys = OFF")
        for row in cloud.rows(f"cell:{cell}", "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
                              " AND tbl_name = 'instances'"):  # fmt: skip
            cloud.execute(f"cell:{cell}", f'DROP INDEX "{row["name"]}"')
        cloud.execute(f"cell:{cell}", "ALTER TABLE instances DROP COLUMN host")
    report = asked("server-on-nonexistent-host")
    assert (report.exit, report.findings) == (Exit.INCOMPLETE, ())
    assert "nova_instances.host" in incomplete(report)["server-on-nonexistent-host"]


def test_a_table_of_an_extension_may_be_missing(cloud: Cloud, asked: Callable[..., Report]) -> None:
    """Extensions that are not installed have no tables; that is no gap."""
    cloud.execute("neutron", "PRAGMA foreign_keys = OFF")
    for table in ("portdnses", "qos_port_policy_bindings", "tags"):
        cloud.execute("neutron", f"DROP TABLE {table}")
    report = asked()
    assert (report.exit, incomplete(report)) == (Exit.CLEAN, {})


def test_more_than_expected_hurts_nobody(cloud: Cloud, asked: Callable[..., Report]) -> None:
    """Tables and columns of another release, or of the site, change nothing in the answers (R7)."""
    for database, table in (("cell:cell1", "instances"), ("neutron", "ports"), ("placement", "allocations")):
        cloud.execute(database, f"ALTER TABLE {table} ADD COLUMN of_the_site TEXT DEFAULT 'x'")
        cloud.execute(database, "CREATE TABLE of_the_site (a INTEGER, b BLOB)")
    expected = port_without_server.plant(cloud)
    report = asked()
    assert [(f.check, dict(f.key)) for f in report.findings] == [("port-without-server", expected)]
    assert incomplete(report) == {}


def test_unreadable_rows_are_found_when_nothing_else_is_asked(cloud: Cloud, asked: Callable[..., Report]) -> None:
    """The check that looks at what could not be decoded reads all tables, though its SQL names none."""
    key = unreadable_row.plant(cloud)
    report = asked("unreadable-row")
    assert [dict(f.key) for f in report.findings] == [key]


def test_an_unreadable_row_hides_no_other(cloud: Cloud, asked: Callable[..., Report]) -> None:
    """Every kind of broken value is a finding by its key; what else is wrong is found as ever."""
    keys = [unreadable_row.plant(cloud)]
    server = cloud.pick("active")
    cloud.execute(server.database, "UPDATE instances SET updated_at = '0000-00-00 00:00:00' WHERE uuid = :u",
                  {"u": server.uuid})  # fmt: skip
    other = cloud.pick("active")
    cloud.execute(other.database, "UPDATE instances SET node = CAST(x'636166e9' AS TEXT) WHERE uuid = :u",
                  {"u": other.uuid})  # fmt: skip
    port = port_without_server.plant(cloud)
    report = asked("unreadable-row", "port-without-server")
    assert report.exit is Exit.FINDINGS
    found = {(f.check, f.key.get("column_name", f.key.get("port"))) for f in report.findings}
    assert found == {
        ("unreadable-row", keys[0]["column_name"]),
        ("unreadable-row", "updated_at"),
        ("unreadable-row", "node"),
        ("port-without-server", port["port"]),
    }
    resources = {f.resource_id for f in report.findings if f.check == "unreadable-row"}
    assert {server.uuid, other.uuid} <= resources


@pytest.mark.parametrize("lacking", [False, True])
def test_statements_are_parsed_only_where_a_source_lacks_something(cloud: Cloud, tmp_path: Path, lacking: bool) -> None:
    """An audit that sees everything does not wait for a parser (docs/adr/0039)."""
    if lacking:
        cloud.execute("cinder", "ALTER TABLE volumes RENAME COLUMN migration_status TO was_status")
    path = tmp_path / "cloud.toml"
    path.write_text(cloud.toml(), encoding="utf-8")
    code = (
        "import sys\nfrom stackmend.cli.shell import main\n"
        f"code = main(['--config', {str(path)!r}, 'audit', '--settle', '0'])\n"
        "print(int(code), 'sqlglot' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ([str(Exit.INCOMPLETE.value), "True"] if lacking else ["0", "False"])
