# SPDX-License-Identifier: Apache-2.0
"""Damage that is too young to tell: it is said, listed on request, and never confirmed, planned or remembered."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import jsonschema
import pytest

from stackmend.app.audits import audit
from stackmend.config.settings import load
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import parameters
from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud
from stackmend_lab.plants.cinder import volume_stuck_detaching
from stackmend_lab.plants.nova import info_cache_empty

from .conftest import Ran

SCHEMA = Path(__file__).parent.parent.parent / "docs" / "schemas" / "findings.json"
Type = Callable[..., Ran]


@pytest.fixture
def typed(run: Type, cloud_config: Path) -> Type:
    """Run a command on the cloud."""
    return lambda *words: run("--config", cloud_config, *words)


def touch(cloud: Cloud, server: str) -> None:
    """Somebody did something to the server just now."""
    database = next(one.database for one in cloud.servers() if one.uuid == server)
    cloud.update(database, "instances", {"uuid": server}, updated_at=cloud.now)


def test_it_is_said_and_listed_on_request(typed: Type, cloud: Cloud) -> None:
    """Clean so far, with how many, of what, and the option; with it they are candidates that no plan has."""
    server = info_cache_empty.plant(cloud)["server"]
    touch(cloud, server)
    ran = typed("audit", "--settle", "0")
    assert (ran.code, ran.out) == (Exit.CLEAN, ""), ran.err
    assert "1 suspected, too recent to confirm: 'audit --include-young' lists it" in ran.err
    assert "  1 info-cache-empty (idle < 10 min)" in ran.err
    assert max(map(len, ran.err.splitlines())) <= 80
    ran = typed("audit", "--settle", "0", "--include-young", "-f", "json")
    found = json.loads(ran.out)
    jsonschema.validate(found, json.loads(SCHEMA.read_text()), cls=jsonschema.Draft202012Validator)
    assert ran.code == Exit.FINDINGS
    assert [(one["state"], one["young"], one["key"]["server"]) for one in found] == [("candidate", True, server)]
    assert found[0]["unsure"] == "too young to tell: idle < 10 min"
    ran = typed("audit", "--settle", "0", "--include-young")
    assert "not confirmed: too young to tell: idle < 10 min" in ran.out
    ran = typed("plan", "create", "--allow-db")
    assert (ran.code, "1 suspected, too recent to confirm" in ran.err) == (Exit.CLEAN, True), ran.err
    assert json.loads(typed("finding", "list", "-f", "json").out) == []


def test_it_is_counted_for_what_was_asked(typed: Type, cloud: Cloud) -> None:
    """Another server's is not in, nor what another check suspects, nor what the operator has waived."""
    server = info_cache_empty.plant(cloud)["server"]
    touch(cloud, server)
    other = next(one for one in cloud.servers("active") if one.uuid != server)
    assert "suspected" not in typed("audit", "--server", other.uuid, "--settle", "0").err
    assert "suspected" not in typed("audit", "--check", "allocation-orphan").err
    assert "1 suspected" in typed("audit", "--server", server, "--settle", "0").err
    words = ("--check", "info-cache-empty", "--resource", server, "--reason", "known")
    assert typed("finding", "waive", *words).code == Exit.CLEAN
    assert "suspected" not in typed("audit", "--settle", "0").err


def test_a_snapshot_has_them_too(typed: Type, cloud: Cloud, tmp_path: Path) -> None:
    """Counted from the clock of its databases."""
    touch(cloud, info_cache_empty.plant(cloud)["server"])
    assert typed("snapshot", "create", "--out", tmp_path / "snap").code == Exit.CLEAN
    ran = typed("audit", "--snapshot", tmp_path / "snap")
    assert (ran.code, "1 suspected" in ran.err) == (Exit.CLEAN, True)


def test_with_its_age_it_is_a_finding(typed: Type, cloud: Cloud) -> None:
    """The same thing a while later is found, and suspected no more; so it is where the site wants no age."""
    server = info_cache_empty.plant(cloud)["server"]
    ran = typed("audit", "--settle", "0", "-f", "json")
    assert [(one["state"], one["young"]) for one in json.loads(ran.out)] == [("confirmed", False)]
    assert "suspected" not in ran.err
    touch(cloud, server)
    assert typed("audit", "--settle", "0").code == Exit.CLEAN


def test_work_in_progress_is_not_suspected(cloud_config: Path) -> None:
    """Building servers, running migrations and living agents are healthy, however young."""
    report = audit(load(str(cloud_config), None), settle=0, young=True)
    assert (report.findings, report.young) == ((), ())


def test_every_age_only_holds_back(cloud: Cloud, cloud_config: Path) -> None:
    """What a check finds it finds without its ages of doubt too: that is how the young ones are told from the rest."""
    config = load(str(cloud_config), None)
    info_cache_empty.plant(cloud)
    touch(cloud, info_cache_empty.plant(cloud)["server"])
    volume_stuck_detaching.plant(cloud)
    report = audit(config, settle=0, young=True)
    assert {one.check for one in report.findings} == {"info-cache-empty", "volume-stuck-detaching"}
    assert {one.check for one in report.young} == {"info-cache-empty"}
    assert not {one.fingerprint for one in report.findings} & {one.fingerprint for one in report.young}
    now = datetime(2026, 11, 21, 3, 0)
    for check in catalogue.checks().values():
        assert check.lasting <= set(check.ages), check.name
        for name in parameters(check, now.isoformat()):
            if name not in {"now", *check.lasting}:
                # compared from below, or, by what still moves, from above: an age of nothing lets more through
                assert f"< ${name}" in check.sql or f">= ${name}" in check.sql, (check.name, name)
                assert f"> ${name}" not in check.sql
                assert f"<= ${name}" not in check.sql
