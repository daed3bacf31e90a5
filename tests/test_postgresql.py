# SPDX-License-Identifier: Apache-2.0
"""A cloud of the last release that runs on PostgreSQL: clean if healthy, every fault is found, mended, taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.app import audits, plans
from stackmend.app.privileges import grants as rights
from stackmend.cli.shell import main
from stackmend.config.settings import load
from stackmend.drivers.database.urls import parsed
from stackmend.model.errors import ConfigError, Exit
from stackmend_lab.plants import Case, healthy, modules
from stackmend_lab.postgresql import PostgreSQL

from .support.crowds import crowds
from .test_casebook import MANY, Crowd, Land, Stage

#: Neutron's migrations end PostgreSQL in the next one
RELEASE = "2025.1"
READER, PASSWORD = "g_reader", "geheim"


@pytest.fixture(scope="module")
def many(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A large cloud."""
    with Land(tmp_path_factory.mktemp("postgresql"), postgresql).stage(MANY, RELEASE) as stage:
        yield stage


@pytest.fixture
def stage(many: Stage) -> Stage:
    """The same, healthy again."""
    many.ready()
    return many


def test_a_healthy_cloud_is_clean(stage: Stage) -> None:
    """Every check has an answer and finds nothing; the release is known in every database."""
    report = stage.audit()

    assert report.incomplete == {}
    assert report.findings == report.young == ()
    assert all(RELEASE in source.releases for source in report.manifest.sources)
    assert {source.database for source in report.manifest.sources} == set(stage.cloud.databases)


def test_an_account_with_the_printed_grants_reads_everything(
    stage: Stage, postgresql: PostgreSQL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``config grants`` prints what the reader needs, and nothing for a writer; one grant less is named."""
    found = rights.grants(stage.config, READER, "g_writer", "")
    assert found.unread == {}
    assert {grant.role for grant in found.grants} == {"reader"}
    assert {verb for grant in found.grants for verb in grant.verbs} == {"SELECT", "USAGE"}
    postgresql.account(READER, PASSWORD)
    names = {database: str(parsed(url).database) for database, url in stage.cloud.databases.items()}
    for grant in found.grants:
        postgresql.run(grant.statement, names[grant.database])
    text = stage.cloud.toml()
    for database, url in stage.cloud.databases.items():
        text = text.replace(url, postgresql.url(names[database], (READER, PASSWORD)))
    toml = tmp_path / "reader.toml"
    toml.write_text(f'{text}\n[reader]\nusername = "{READER}"\npassword = "{PASSWORD}"\n', encoding="utf-8")
    toml.chmod(0o600)

    report = audits.audit(load(str(toml)), settle=0)
    assert (report.incomplete, report.findings) == ({}, ())
    assert rights.missing(load(str(toml))).grants == ()
    postgresql.run(
        f'REVOKE SELECT ON ports FROM "{READER}"; REVOKE SELECT (id) ON ports FROM "{READER}"', names["neutron"]
    )
    assert main(["--config", str(toml), "config", "check", "-f", "json"]) == Exit.INCOMPLETE
    (lack,) = json.loads(capsys.readouterr().out)
    assert (lack["database"], lack["table"], lack["verbs"]) == ("neutron", "ports", ["SELECT"])
    assert "port-without-server" in audits.audit(load(str(toml)), settle=0).incomplete


def test_no_row_is_planned_to_be_changed(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan that may change rows is refused by the name of a database, with the way out, before anything is read."""
    modules()["port-without-server"].plant(stage.cloud)
    before = stage.cloud.dump()

    code = main(["--config", stage.config.origin, "plan", "create", "--allow-db"])
    said = capsys.readouterr().err
    assert code == Exit.USAGE
    assert "is on PostgreSQL, where stackmend only reads" in said
    assert "Leave out --allow-db" in said
    with pytest.raises(ConfigError, match="stackmend only reads"):
        plans.request(stage.config, "purge-server", {"server": stage.cloud.pick("deleted").uuid}, allow_db=True)
    report = stage.audit()
    plan = plans.repair_plan(stage.config, report)
    assert plan.runnable == ()
    assert [one.check for one in plan.not_repaired] == ["port-without-server"]
    assert stage.cloud.dump() == before


@pytest.mark.parametrize("cases", crowds(), ids=lambda cases: f"{len(cases)}_cases")
def test_everything_broken_at_once(stage: Stage, cases: list[Case]) -> None:
    """All plants among all look-alikes: found, mended, clean, nothing the second time, undone to the byte."""
    Crowd(stage, cases, healthy()).go_through()
