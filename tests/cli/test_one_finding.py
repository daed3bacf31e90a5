# SPDX-License-Identifier: Apache-2.0
"""An audit and a plan for single findings, named by their fingerprints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud
from stackmend_lab.plants.neutron import segment_allocation_drift, standardattr_orphan

from .conftest import Ran

Type = Callable[..., Ran]


@pytest.fixture
def typed(run: Type, cloud_config: Path) -> Type:
    """Run a command on the cloud."""
    return lambda *words: run("--config", cloud_config, *words)


@pytest.fixture
def found(cloud: Cloud, typed: Type) -> dict[str, str]:
    """Check -> fingerprint, of findings that name no server, port or volume, as an audit reported them."""
    for module in (segment_allocation_drift, standardattr_orphan):
        module.plant(cloud)
    ran = typed("audit", "-f", "json")
    assert ran.code == Exit.FINDINGS
    return {one["check"]: one["fingerprint"] for one in json.loads(ran.out)}


def test_a_plan_for_one_finding(typed: Type, found: dict[str, str]) -> None:
    """It is planned and nothing else is, even in several plans one after another; a few digits are enough."""
    assert len(found) == 2
    for mark in found.values():
        ran = typed("plan", "create", "--finding", mark[:8], "--allow-db", "-f", "json")
        assert ran.code == Exit.FINDINGS
        assert [action["fingerprint"] for action in json.loads(ran.out)["actions"]] == [mark]


def test_a_plan_for_two_findings(typed: Type, found: dict[str, str]) -> None:
    """Both are planned."""
    words = [word for mark in found.values() for word in ("--finding", mark)]
    ran = typed("plan", "create", *words, "--allow-db", "-f", "json")
    assert {action["fingerprint"] for action in json.loads(ran.out)["actions"]} == set(found.values())


def test_an_object_beside_it(cloud: Cloud, typed: Type, found: dict[str, str]) -> None:
    """With an object, what concerns the object is audited as well, by every check."""
    mark = found["standardattr-orphan"]
    ran = typed("audit", "--server", cloud.pick("active").uuid, "--finding", mark, "-f", "json")
    assert [one["fingerprint"] for one in json.loads(ran.out)] == [mark]


def test_an_audit_of_one_finding(typed: Type, found: dict[str, str]) -> None:
    """Only its check is run; it suggests a plan for it, and the whole audit before it is still listed."""
    mark = found["standardattr-orphan"]
    ran = typed("audit", "--finding", mark)
    assert ran.code == Exit.FINDINGS
    assert "in 1 of 1 check" in ran.err
    assert f"plan create --finding {mark} --allow-db" in ran.err
    listed = json.loads(typed("finding", "list", "-f", "json").out)
    assert {one["fingerprint"] for one in listed} == set(found.values())


def test_a_mended_finding(cloud: Cloud, typed: Type, found: dict[str, str]) -> None:
    """An audit of it is clean, and there is nothing to plan."""
    cloud.execute("neutron", "DELETE FROM provisioningblocks")
    cloud.execute("neutron", "DELETE FROM tags WHERE tag = 'mail'")
    sql = "SELECT MAX(id) AS n FROM standardattributes"
    cloud.delete("neutron", "standardattributes", {"id": cloud.rows("neutron", sql)[0]["n"]})
    mark = found["standardattr-orphan"]
    assert typed("audit", "--finding", mark).code == Exit.CLEAN
    assert typed("plan", "create", "--finding", mark, "--allow-db").code == Exit.CLEAN


@pytest.mark.parametrize("text", ["ffffffffffffffff", "", "zz"])
def test_a_finding_that_no_audit_reported(typed: Type, found: dict[str, str], text: str) -> None:
    """It is a typing error, never a clean cloud."""
    for command in (["audit"], ["plan", "create"]):
        ran = typed(*command, "--finding", text)
        assert (ran.code, ran.out) == (Exit.USAGE, "")
        assert "is not a finding of any audit" in ran.err


def test_a_finding_of_another_check(typed: Type, found: dict[str, str]) -> None:
    """Named together with a check that cannot find it, it is refused rather than not found."""
    ran = typed("audit", "--check", "info-cache-empty", "--finding", found["standardattr-orphan"])
    assert ran.code == Exit.USAGE
    assert "is one of standardattr-orphan" in ran.err


def test_a_finding_shows_its_plan(typed: Type, found: dict[str, str]) -> None:
    """'finding show' says how to plan this one alone."""
    mark = found["segment-allocation-drift"]
    assert f" plan create --finding {mark} --allow-db" in typed("finding", "show", mark).err
