# SPDX-License-Identifier: Apache-2.0
"""The catalogue on the schemas of every release: a healthy cloud is clean, and what is broken is found and mended.

What a release has no rows for cannot be broken there, and says so. With ``STACKMEND_WRITE_RELEASES=1`` and ``-n0`` the
tests write what they went through into docs/reference/releases.json, of which the page is made.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from stackmend.cli.shell import main
from stackmend.engine.auditing import catalogue
from stackmend.tables.releases import NEWEST, RELEASES, SLURP
from stackmend_lab.plants import broken, healthy, impossible, modules

from .support.crowds import crowds
from .support.planning import plan_for
from .test_casebook import FEW, MANY, Crowd, Land

RECORD = Path(__file__).parents[1] / "docs" / "reference" / "releases.json"
WRITE = "STACKMEND_WRITE_RELEASES"


def some(*chosen: str) -> list[Any]:
    """All releases, those not chosen only in long runs."""
    return [r if r in chosen else pytest.param(r, marks=pytest.mark.long) for r in RELEASES]


@pytest.mark.parametrize("release", some("train", *SLURP[:2]))
def test_a_healthy_cloud_of_a_release_is_clean(release: str, tmp_path: Path) -> None:
    """Every check has an answer, whatever the release has no columns for, and finds nothing."""
    with Land(tmp_path, None).stage(FEW, release) as stage:
        report = stage.audit()

    assert report.incomplete == {}
    assert report.findings == report.young == ()
    assert all(release in source.releases for source in report.manifest.sources)
    answered = len(report.checks) - len(report.incomplete)
    record(release, checks=len(report.checks), answered=answered, findings=len(report.findings))


@pytest.mark.parametrize("release", some("train"))
def test_everything_broken_at_once_on_a_release(release: str, tmp_path: Path) -> None:
    """All plants among all look-alikes: found, mended, clean, and undone to the byte."""
    cases = max(crowds(), key=len)
    with Land(tmp_path, None).stage(MANY, release) as stage:
        absent = impossible(stage.cloud, [*cases, *healthy()], tmp_path / "tried")
        broken_here = [case for case in cases if case not in absent]
        look_alikes = [case for case in healthy() if case not in absent]
        stage.ready()
        Crowd(stage, broken_here, look_alikes).go_through()

    said = {str(case): why for case, why in absent.items() if case in cases}
    assert bool(said) is (RELEASES.index(release) < RELEASES.index("2024.1"))
    record(release, cases=len(broken_here), look_alikes=len(look_alikes), absent=said)


@pytest.mark.long
def test_the_demo_runs_on_an_older_release(capsys: pytest.CaptureFixture[str]) -> None:
    """Every step as expected; what the release has no rows for is told instead of broken."""
    assert main(["demo", "--release", "train"]) == 0

    said = capsys.readouterr()
    assert "not broken: server-compute-id-wrong: nova of train does not have instances.compute_id" in said.out
    assert "all as expected" in said.err


def test_what_may_not_count_is_not_recounted(tmp_path: Path) -> None:
    """Before Xena nobody can tell whether a volume that a backup made for itself counts: the repair is refused."""
    with Land(tmp_path, None).stage(FEW, "wallaby") as stage:
        project = modules()["cinder-quota-drift"].plant(stage.cloud)["project"]
        (volume,) = stage.cloud.rows("cinder", "SELECT id FROM volumes WHERE project_id = :p", {"p": project})
        stage.cloud.update("cinder", "volumes", {"id": volume["id"]}, display_name=f"backup-vol-{volume['id']}")

        plan = plan_for(stage.config, checks=["cinder-quota-drift"], allow_db=True, settle=0)

    assert not plan.runnable
    assert "(before Xena) may have been made by a backup" in plan.not_repaired[0].reason


def test_a_release_before_any_quota_column_counts_as_cinder_did(tmp_path: Path) -> None:
    """The destination of a migration never counted against quotas: neither for the check nor for the repair."""
    with Land(tmp_path, None).stage(FEW, "train") as stage:
        key = modules()["cinder-quota-drift"].plant(stage.cloud)
        modules()["volume-migration-leftover"].plant(stage.cloud)

        plan = plan_for(stage.config, checks=["cinder-quota-drift"], allow_db=True, settle=0)

    assert [action.key for action in plan.runnable] == [key]


def test_the_record_is_of_this_catalogue() -> None:
    """The committed matrix has every release, with an answer of every check and no finding, and names real cases."""
    found = json.loads(RECORD.read_text())

    assert tuple(found) == RELEASES
    assert all(one["answered"] == one["checks"] and one["findings"] == 0 for one in found.values())
    assert all(one["checks"] <= len(catalogue.checks()) for one in found.values())
    named = {case for one in found.values() for case in one.get("absent", {})}
    assert named <= {str(case) for case in broken()}
    assert {"train", *SLURP, NEWEST} <= {release for release, one in found.items() if "cases" in one}


def record(release: str, **what: object) -> None:
    """Write down what was gone through, if asked."""
    if not os.environ.get(WRITE):
        return
    found: dict[str, dict[str, object]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    found[release] = found.get(release, {}) | what
    ordered = {name: found[name] for name in RELEASES if name in found}
    RECORD.write_text(json.dumps(ordered, indent=1) + "\n")
