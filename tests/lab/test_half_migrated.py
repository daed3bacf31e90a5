# SPDX-License-Identifier: Apache-2.0
"""Audits in the middle of an upgrade: the services' own migrations, halted after any statement that changes a table.

A database is then of no release, cells are of different ones, and columns exist that no service has filled yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackmend.app import audits
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import Report
from stackmend.tables import tables
from stackmend_lab import schemas
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.migrations import halting
from stackmend_lab.plants import Case, broken, impossible

from ..support.crowds import name_of
from .test_schemas import SERVICES

#: a SLURP release, from which the services upgrade directly over several others: all their migrations since are run
BEFORE = "zed"
SERVERS = 600
#: of the halts in a database, make test audits one in so many
SHARE = 4
#: statements that change no column: an index, a constraint
_KEYS = re.compile(r"(CREATE|DROP) (UNIQUE )?INDEX|ALTER TABLE \S+ (ADD CONSTRAINT|DROP FOREIGN|DROP INDEX)")
_BEATS = (
    ("nova", "services", "last_seen_up"), ("cinder", "services", "updated_at"),
    ("neutron", "agents", "heartbeat_timestamp"),
)  # fmt: skip
_TABLE = re.compile(r"(?:ALTER|CREATE|DROP|RENAME) TABLE (?:IF (?:NOT )?EXISTS )?`?(\w+)`?")


@dataclass
class Upgraded:
    """A cloud of an older release in which one plant of every check was made, and what its audit found."""

    cloud: Cloud
    config: Config
    folder: Path
    since: str  #: whoever has reported since then is alive
    before: dict[str, set[str]]  #: check -> names of its findings
    young: set[str]  #: names of what would be one if it were older

    def migrate(self, database: str) -> Iterator[tuple[str, ...]]:
        """Migrate one database; the checks that read a table, each time after a statement that changed its columns."""
        folder = self.folder / database.replace(":", "-")
        folder.mkdir()
        service = schemas.service_of(database)
        with halting(SERVICES, service, self.cloud.databases[database], folder) as statements:
            for statement in statements:
                if not _KEYS.match(statement) and (changed := _TABLE.match(statement)):
                    yield reading(service, changed[1])

    def audit(self, *checks: str) -> Report:
        """Audit with these checks, or all; what reported when the cloud was built does so now."""
        for database, table, column in _BEATS:
            for name in self.cloud.databases:
                if schemas.service_of(name) == database:
                    late = {"now": self.cloud.ago(1), "since": self.since}
                    self.cloud.execute(name, f"UPDATE {table} SET {column} = :now WHERE {column} >= :since", late)
        return audits.audit(self.config, checks=checks, settle=0, young=True)


@pytest.fixture
def upgraded(mariadb: MariaDB, tmp_path: Path) -> Iterator[Upgraded]:
    """What a release has no rows for is not broken."""
    with ExitStack() as stack:
        twin = build(tmp_path / "twin", servers=SERVERS, seed=5, release=BEFORE)
        stack.callback(twin.close)
        cases = {case.check: case for case in sorted(broken(), key=_plain, reverse=True)}
        absent = impossible(twin, cases.values(), tmp_path / "tried")
        cloud = build(mariadb, servers=SERVERS, seed=5, prefix="half_", release=BEFORE)
        stack.callback(cloud.close)
        since = cloud.ago(120)
        for case in cases.values():
            if case not in absent:
                case.make(cloud)
        (tmp_path / "stackmend.toml").write_text(cloud.toml(), encoding="utf-8")
        config = load(str(tmp_path / "stackmend.toml"))
        found = Upgraded(cloud, config, tmp_path, since, {}, set())
        report = found.audit()
        assert report.incomplete == {}
        assert len(absent) < 5
        found.before |= names(report)
        found.young |= {name_of(finding.check, finding.key) for finding in report.young}
        yield found


def reading(service: str, table: str) -> tuple[str, ...]:
    """The checks that read this table of a service, and those that explain what they find."""
    labels = {label for label, parts in tables().items() if any((p.service, p.name) == (service, table) for p in parts)}
    known = catalogue.checks()
    found: set[str] = set()
    new = {name for name, check in known.items() if labels & check.reads.keys()}
    while new:
        found |= new
        new = ({root for name in new for root in known[name].explained_by} & known.keys()) - found
    return tuple(sorted(found))


def _plain(case: Case) -> bool:
    return case.variant == "plant"


def names(report: Report) -> dict[str, set[str]]:
    """Check -> the names of its findings; of every check that has an answer."""
    found: dict[str, set[str]] = {name: set() for name in report.checks if name not in report.incomplete}
    for finding in report.findings:
        if finding.check in found:
            found[finding.check].add(name_of(finding.check, finding.key))
    return found


@pytest.mark.parametrize("only", ["cell:cell1", pytest.param("", marks=pytest.mark.long, id="all")])
def test_found_or_incomplete_wherever_a_migration_stops(upgraded: Upgraded, only: str) -> None:
    """A check finds exactly what it found before the upgrade, or says by name what it lacks: never less, never more.

    Between two databases, when cells are of different releases, all checks are asked. A short run looks at some of the
    halts of one database (docs/adr/0078).
    """
    halts = 0
    for database in sorted(upgraded.cloud.databases):
        if only not in database:
            continue
        for checks in upgraded.migrate(database):
            if checks:
                halts += 1
                if not (only and halts % SHARE):
                    assert_as_before(upgraded, upgraded.audit(*checks), database)
        assert_as_before(upgraded, upgraded.audit(), f"after {database}")
    assert halts > (5 if only else 20)
    assert upgraded.audit().incomplete == {}


def assert_as_before(upgraded: Upgraded, report: Report, where: str) -> None:
    """What has an answer has the answer of before, but for what has grown old enough; what has none says why."""
    for check, found in names(report).items():
        assert found - upgraded.young == upgraded.before[check] - upgraded.young, (where, check)
    for check, reason in report.incomplete.items():
        assert "_" in reason, (where, check, reason)
