# SPDX-License-Identifier: Apache-2.0
"""What an account has no right to see is never taken for what is not there."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackmend.app.audits import audit
from stackmend.app.session import CloudSession
from stackmend.config.settings import Config, load
from stackmend.drivers.database.dialects.rights import Visibility, visibility
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import CheckOutcome, Report
from stackmend.model.errors import Exit, SourceError
from stackmend.tables import tables
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.neutron import extra_ports_on_server, port_without_server

READER = ("partly", "reader-of-parts")
PREFIX = "rights_"
#: database -> tables that an audit reads there
READ = {
    database: sorted(
        {
            name
            for parts in tables().values()
            for part in parts
            if part.service == service
            for name in (part.name, *re.findall(r"JOIN (\w+)", part.join))
        }
    )
    for database, service in (
        ("nova_api", "nova_api"), ("cell:cell0", "nova"), ("cell:cell1", "nova"), ("cell:cell2", "nova"),
        ("neutron", "neutron"), ("cinder", "cinder"), ("placement", "placement"), ("glance", "glance"),
        ("keystone", "keystone"),
    )
}  # fmt: skip
ATTACK = "takes the right to read a table, or a column, away from the account"


@pytest.mark.parametrize(
    ("lines", "schema", "expected"),
    [
        (["GRANT USAGE ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*1'", "GRANT SELECT ON `nova`.* TO `r`@`%`"], "nova",
         Visibility()),
        (["GRANT SELECT, INSERT ON *.* TO `r`@`%`"], "nova", Visibility()),
        (["GRANT ALL PRIVILEGES ON *.* TO `r`@`%` WITH GRANT OPTION"], "nova", Visibility()),
        ([r"GRANT SELECT ON `nova\_api`.* TO `r`@`%`"], "nova_api", Visibility()),
        ([r"GRANT SELECT ON `nova\_api`.* TO `r`@`%`"], "novaXapi", Visibility(False)),
        (["GRANT SELECT ON `nova%`.* TO `r`@`%`"], "nova_cell0", Visibility()),
        (["GRANT INSERT ON `nova`.* TO `r`@`%`"], "nova", Visibility(False)),
        (["GRANT SELECT ON `nova`.`instances` TO `r`@`%`"], "nova", Visibility(False, frozenset({"instances"}))),
        (["GRANT SELECT (`id`, `uuid`), INSERT ON `nova`.`instances` TO `r`@`%`"], "nova", Visibility(False)),
        (["GRANT SELECT (`id`), INSERT (`id`) ON `nova`.* TO `r`@`%`"], "nova", Visibility(False)),
        (["GRANT SELECT ON *.* TO `r`@`%`", "REVOKE SELECT ON `nova`.* FROM `r`@`%`"], "nova", Visibility(False)),
        (["GRANT SELECT ON *.* TO `r`@`%`", "REVOKE SELECT ON `keystone`.* FROM `r`@`%`"], "nova", Visibility()),
        (["GRANT `readers` TO `r`@`%`"], "nova", Visibility(False)),
    ],
)  # fmt: skip
def test_grants_are_understood(lines: list[str], schema: str, expected: Visibility) -> None:
    """Only SELECT on the whole schema sees everything; what is not understood sees nothing."""
    assert visibility(lines, schema) == expected


@pytest.fixture(scope="module")
def cloud(mariadb: MariaDB) -> Iterator[Cloud]:
    """A cloud with a leftover port, and one that trunks keep from being one."""
    built = build(mariadb, servers=60, seed=21, prefix=PREFIX)
    port_without_server.plant(built)
    extra_ports_on_server.plant(built)
    yield built
    built.close()


@pytest.fixture
def seen(cloud: Cloud, mariadb: MariaDB, tmp_path: Path) -> Callable[..., Config]:
    """The configuration of an account that may read every table but those given, or columns of them alone."""

    def configured(hidden: set[tuple[str, str]], grants: list[str] | None = None) -> Config:
        mariadb.account(*READER, "USAGE ON *.*")
        names = {database: url.rpartition("/")[2] for database, url in cloud.databases.items()}
        given = [
            f"SELECT ON `{names[database]}`.`{table}`"
            for database, some in READ.items()
            for table in (*some, "alembic_version", *({"cell_mappings"} & set(some)))
            if (database, table) not in hidden and table in _tables(cloud, database)
        ]
        # cells are found by a template, whose account is the root of the test
        text = cloud.toml() + f'\n[reader]\nusername = "{READER[0]}"\npassword = "{READER[1]}"\n'
        for database, url in cloud.databases.items():
            text = text.replace(url, mariadb.url(names[database], READER))
        for grant in (*dict.fromkeys(given), *(grants or [])):
            mariadb.run(f"GRANT {grant} TO '{READER[0]}'@'127.0.0.1'")
        path = tmp_path / "cloud.toml"
        path.write_text(text, encoding="utf-8")
        return load(str(path))

    return configured


def _tables(cloud: Cloud, database: str) -> set[str]:
    return {str(next(iter(row.values()))) for row in cloud.rows(database, "SHOW TABLES")}


def look(config: Config, *checks: str) -> Report:
    """An audit by the databases alone."""
    return audit(config, checks=checks, settle=0, use_api=False)


def labels_of(database: str, table: str) -> set[str]:
    """The labels that need the table."""
    service = "nova" if database.startswith("cell:") else database
    return {
        label
        for label, parts in tables().items()
        for part in parts
        if part.service == service and (part.name == table or f"JOIN {table} " in part.join)
    }


#: labels of what is read of cells: which ones there are is nova_api's to say
OF_CELLS = {label for label, parts in tables().items() if any(part.service == "nova" for part in parts)}


def _hold(report: Report, whole: Report, database: str, table: str) -> None:
    before = {finding.fingerprint for finding in whole.findings}
    assert [f.message for f in report.findings if f.fingerprint not in before] == []
    cells = (table, database) == ("cell_mappings", "nova_api")
    labels = labels_of(database, table)
    bulk = {label for label in labels if any(part.bulk for part in tables()[label])}
    # the rest is read of the objects of findings alone, and can only speak for them: who found nothing has not asked
    asking = {finding.check for finding in whole.findings}
    needing = {
        name
        for name, check in catalogue.checks().items()
        if check.reads.keys() & bulk
        or (name in asking and check.reads.keys() & labels)
        or (cells and check.reads.keys() & OF_CELLS)
    }
    silent = {name for name, r in report.checks.items() if r.outcome is CheckOutcome.INCOMPLETE}
    assert needing <= silent, f"{table} of {database} is hidden, and {needing - silent} say nothing of it"


@pytest.mark.attack(ATTACK)
def test_a_hidden_table_is_no_absent_one(
    cloud: Cloud, seen: Callable[..., Config], record_property: Callable[[str, object], None]
) -> None:
    """Tables hidden one by one (a few here, all in the long test): nothing new is found, and checks say why."""
    whole = look(seen(set()))
    assert {r.reason for r in whole.checks.values()} == {""}
    chosen = [("neutron", "trunks"), *random.Random(10).sample(_pairs(cloud), 3)]
    for database, table in chosen:
        _hold(look(seen({(database, table)})), whole, database, table)
    record_property("tries", len(chosen))


@pytest.mark.long
@pytest.mark.attack(ATTACK)
def test_no_hidden_table_is_an_absent_one(
    cloud: Cloud, seen: Callable[..., Config], record_property: Callable[[str, object], None]
) -> None:
    """Every table that an audit reads, hidden one by one."""
    whole = look(seen(set()))
    pairs = _pairs(cloud)
    assert len(pairs) > 40
    for database, table in pairs:
        _hold(look(seen({(database, table)})), whole, database, table)
    record_property("tries", len(pairs))


def _pairs(cloud: Cloud) -> list[tuple[str, str]]:
    return [(d, t) for d, some in READ.items() for t in some if t in _tables(cloud, d)]


@pytest.mark.attack(ATTACK)
def test_with_the_version_hidden_too(cloud: Cloud, seen: Callable[..., Config]) -> None:
    """Without alembic_version nobody knows the release: that does not make a hidden table one that it lacks."""
    report = look(seen({("neutron", "trunks"), ("neutron", "alembic_version")}), "extra-ports-on-server")
    assert report.exit is Exit.INCOMPLETE
    assert report.findings == ()
    reason = report.checks["extra-ports-on-server"].reason
    assert reason == "the account has no right to see table neutron_trunks in database neutron"


@pytest.mark.attack(ATTACK)
def test_a_hidden_column_is_no_empty_one(cloud: Cloud, seen: Callable[..., Config], mariadb: MariaDB) -> None:
    """A column without the right to it is not NULL, but unknown: checks that ask for it are incomplete."""
    name = cloud.databases["cell:cell1"].rpartition("/")[2]
    columns = [str(row["Field"]) for row in cloud.rows("cell:cell1", "SHOW COLUMNS FROM block_device_mapping")]
    some = ", ".join(f"`{c}`" for c in columns if c != "attachment_id")
    grants = [f"SELECT ({some}) ON `{name}`.`block_device_mapping`"]
    report = look(seen({("cell:cell1", "block_device_mapping")}, grants), "nova-bdm-cinder-detached")
    assert report.exit is Exit.INCOMPLETE
    assert "no right to see nova_block_device_mapping.attachment_id" in report.checks["nova-bdm-cinder-detached"].reason


@pytest.mark.attack(ATTACK)
def test_taken_away_after_the_audit(cloud: Cloud, seen: Callable[..., Config]) -> None:
    """A second look at rows of a table that is hidden by now confirms nothing, and a repair is not told "no such"."""
    name = "extra-ports-on-server"
    found = look(seen(set()), name)
    rows = [finding.evidence for finding in found.findings]
    assert len(rows) == 1
    session = CloudSession.of(seen({("neutron", "trunks")}))
    with session.asking(catalogue.checks()) as again:
        answer = again({name: rows})
    assert answer.rows == {}
    assert "may not see table trunks" in answer.unknown[name]
    with session.live() as live, pytest.raises(SourceError, match="may not see table trunks"):
        live.columns("neutron", "trunks")


def test_a_release_without_the_table(cloud: Cloud, seen: Callable[..., Config], mariadb: MariaDB) -> None:
    """Who may read the whole database is told the truth: a table that is not listed is not there."""
    name = cloud.databases["neutron"].rpartition("/")[2]
    cloud.execute("neutron", "RENAME TABLE portdnses TO portdnses_elsewhere")
    try:
        report = look(seen(set(), [f"SELECT ON `{name}`.*"]), "preserve-on-delete-wrong")
    finally:
        cloud.execute("neutron", "RENAME TABLE portdnses_elsewhere TO portdnses")
    assert report.exit is Exit.CLEAN
