# SPDX-License-Identifier: Apache-2.0
"""Finding one's way among many checks: by area, by severity, and by what a site calls severe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud
from stackmend_lab.plants.cinder import volume_stuck_detaching
from stackmend_lab.plants.nova import info_cache_empty
from stackmend_lab.plants.placement import allocation_orphan

from .conftest import Ran

Type = Callable[..., Ran]


@pytest.fixture
def typed(run: Type, cloud_config: Path) -> Type:
    """Run a command on the cloud."""
    return lambda *words: run("--config", cloud_config, *words)


@pytest.fixture
def broken(cloud: Cloud) -> Cloud:
    """An error of Nova, a warning of Placement, and one of Cinder."""
    for plant in (info_cache_empty.plant, allocation_orphan.plant, volume_stuck_detaching.plant):
        plant(cloud)
    return cloud


def found(ran: Ran) -> dict[str, str]:
    """Check -> severity."""
    assert ran.code == Exit.FINDINGS, ran.err
    return {one["check"]: one["severity"] for one in json.loads(ran.out)}


def test_an_area(typed: Type, broken: Cloud) -> None:
    """Only the checks of these services run; what others would find is neither listed nor counted."""
    assert broken.databases
    nova = found(typed("audit", "--settle", "0", "--area", "nova", "-f", "json"))
    assert set(nova) == {"info-cache-empty"}
    both = found(typed("audit", "--settle", "0", "--area", "nova", "--area", "placement", "-f", "json"))
    assert set(both) == {"info-cache-empty", "allocation-orphan"}


@pytest.mark.usefixtures("broken")
def test_a_severity(typed: Type) -> None:
    """This severity or a worse one; together with an area both must hold."""
    every = found(typed("audit", "--settle", "0", "-f", "json"))
    errors = found(typed("audit", "--settle", "0", "--severity", "error", "-f", "json"))
    assert errors == {check: severity for check, severity in every.items() if severity == "error"}
    assert set(errors) < set(every)
    assert found(typed("audit", "--settle", "0", "--severity", "info", "-f", "json")) == every
    ran = typed("audit", "--settle", "0", "--severity", "error", "--area", "placement", "-f", "json")
    assert (ran.code, json.loads(ran.out)) == (Exit.CLEAN, [])


@pytest.mark.usefixtures("broken")
def test_a_plan_of_an_area(typed: Type, tmp_path: Path) -> None:
    """The hint after an audit asks for the same, and the plan has only that."""
    ran = typed("audit", "--settle", "0", "--area", "placement")
    assert "plan create --area placement --allow-db --out plan.json" in " ".join(ran.err.split())
    out = tmp_path / "plan.json"
    assert typed("plan", "create", "--area", "placement", "--allow-db", "--out", out).code == Exit.FINDINGS
    assert {a["check"] for a in json.loads(out.read_text())["plan"]["actions"]} == {"allocation-orphan"}


@pytest.mark.usefixtures("broken")
def test_the_severities_of_a_site(typed: Type, cloud_config: Path) -> None:
    """[severities] holds in findings, and for --severity."""
    cloud_config.write_text(f'{cloud_config.read_text()}\n[severities]\nallocation-orphan = "error"\n')
    ran = typed("audit", "--settle", "0", "--severity", "error", "--area", "placement", "-f", "json")
    assert found(ran) == {"allocation-orphan": "error"}
    assert json.loads(typed("config", "show", "-f", "json").out)["severities"] == {"allocation-orphan": "error"}


def test_no_such_kind(typed: Type) -> None:
    """An unknown area is named with those there are; a check that is not of the area is refused."""
    ran = typed("audit", "--area", "novaa")
    assert ran.code == Exit.USAGE
    assert "there is no area 'novaa'" in ran.err
    assert "nova, placement" in ran.err
    ran = typed("audit", "--area", "nova", "--check", "allocation-orphan")
    assert ran.code == Exit.USAGE
    assert "allocation-orphan is not of that area and severity" in ran.err


def test_checks_are_listed_by_kind(typed: Type) -> None:
    """With their areas; those of hosts are listed, too, though an audit of all visits no host."""
    listed = json.loads(typed("check", "list", "--area", "placement", "--area", "hosts", "-f", "json").out)
    assert {one["area"] for one in listed} == {"placement", "hosts"}
    worst = json.loads(typed("check", "list", "--severity", "error", "-f", "json").out)
    assert {one["severity"] for one in worst} == {"error"}


@pytest.mark.usefixtures("broken")
def test_what_other_checks_found_stays_listed(typed: Type) -> None:
    """An audit by some checks replaces what was listed of these, and nothing else."""
    typed("audit", "--settle", "0")
    before = json.loads(typed("finding", "list", "-f", "json").out)
    typed("audit", "--settle", "0", "--area", "nova")
    after = json.loads(typed("finding", "list", "-f", "json").out)
    assert {one["check"] for one in after} == {one["check"] for one in before}
    assert len(before) == len(after) == 3


def test_what_a_check_without_an_answer_found_before_stays_listed(typed: Type, broken: Cloud) -> None:
    """A database that lacks a table takes no finding off the list: no answer is no mending."""
    typed("audit", "--settle", "0")
    before = json.loads(typed("finding", "list", "-f", "json").out)
    broken.execute("cinder", "PRAGMA foreign_keys = OFF")
    broken.execute("cinder", "DROP TABLE volume_attachment")
    assert typed("audit", "--settle", "0").code == Exit.INCOMPLETE
    after = json.loads(typed("finding", "list", "-f", "json").out)
    assert {one["fingerprint"] for one in after} == {one["fingerprint"] for one in before}
    assert "volume-stuck-detaching" in {one["check"] for one in after}
