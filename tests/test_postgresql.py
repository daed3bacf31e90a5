# SPDX-License-Identifier: Apache-2.0
"""A cloud of the last release that runs on PostgreSQL: clean if healthy, every fault is found, mended, taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from stackmend.app.privileges import grants as rights
from stackmend.cli.shell import main
from stackmend.drivers.database.urls import parsed
from stackmend.model.errors import Exit
from stackmend_lab.plants import Case, healthy
from stackmend_lab.postgresql import PostgreSQL

from .support.crowds import crowds
from .support.other_sessions import ON_POSTGRESQL
from .test_casebook import HANDFUL, MANY, Land, Stage, assert_all_found_mended_and_taken_back


@pytest.fixture(scope="module")
def many(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A large cloud."""
    with Land(tmp_path_factory.mktemp("postgresql"), postgresql).stage(MANY, ON_POSTGRESQL) as stage:
        yield stage


@pytest.fixture
def stage(many: Stage) -> Stage:
    """The same, healthy again."""
    many.ready()
    return many


def test_a_healthy_cloud_is_clean(stage: Stage, postgresql: PostgreSQL) -> None:
    """Every check has an answer and finds nothing, every statement is understood, each database's release is known."""
    report = stage.audit()

    assert report.incomplete == {}
    assert report.findings == report.young == ()
    assert all(ON_POSTGRESQL in source.releases for source in report.manifest.sources)
    assert {source.database for source in report.manifest.sources} == set(stage.cloud.databases)
    # what proves a source wrong may go unasked without a word
    assert "ERROR" not in (postgresql.folder / "server.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("role", "revoked", "lack"),
    [
        ("reader", 'SELECT ON ports FROM "{0}"; REVOKE SELECT (id) ON ports', ("neutron", "ports", ["SELECT"])),
        ("writer", "UPDATE ON portforwardings", ("neutron", "portforwardings", ["UPDATE"])),
        ("writer", "USAGE ON SEQUENCE standardattributes_id_seq", ("neutron", "", ["USAGE"])),
    ],
)
def test_one_grant_less_is_named(
    stage: Stage,
    postgresql: PostgreSQL,
    capsys: pytest.CaptureFixture[str],
    role: str,
    revoked: str,
    lack: tuple[Any, ...],
) -> None:
    """The accounts have what ``config grants`` prints, and nothing lacks; then a privilege is taken from one."""
    account = f"casebook{MANY}_{role}"
    neutron = str(parsed(stage.cloud.databases["neutron"]).database)
    assert rights.missing(stage.config).grants == ()
    postgresql.run(f'REVOKE {revoked.format(account)} FROM "{account}"', neutron)
    code = main(["--config", stage.config.origin, "config", "check", "-f", "json"])
    (found,) = json.loads(capsys.readouterr().out)
    postgresql.run(found["statement"], neutron)

    assert code == Exit.INCOMPLETE
    assert (found["database"], found["table"], found["verbs"]) == lack
    assert rights.missing(stage.config).grants == ()


@pytest.mark.parametrize("cases", crowds(), ids=lambda cases: f"{len(cases)}_cases")
def test_everything_broken_at_once(stage: Stage, cases: list[Case]) -> None:
    """All plants among all look-alikes: found, mended, clean, nothing the second time, undone to the byte."""
    assert_all_found_mended_and_taken_back(stage, cases, healthy() if len(cases) > HANDFUL else ())
