# SPDX-License-Identifier: Apache-2.0
"""The case book: every way of breaking a cloud that the catalogue knows, found, mended and taken back, on real schemas.

A case is a plant or a variant of :mod:`stackmend_lab.plants`. Each is gone through as an operator would: the audit
names it and nothing else, the plan is applied, the audit is clean and what was mended is whole (:mod:`.truth`), the
plan applied again does nothing, and undo gives the very bytes back. Look-alikes are healthy: the audit must not say a
word about them.

Nothing here names a check. A check without a plant, or without a look-alike, fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import audits, plans, runs
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.engine.planning.losses import undeclared
from stackmend.model.audit import Report
from stackmend.model.errors import Exit
from stackmend.model.journal import RunResult
from stackmend.model.plan import Plan
from stackmend.model.step import Risk
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants import PLANT, Case, broken, healthy, modules

from .support.volume_truth import contradictions

#: so many servers that any plant finds what it needs
FEW = 250
#: so many that all plants and look-alikes find one each
MANY = 1500
HEALTHY = 10_000
#: of a plan that may change everything in a small cloud
ALL_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Stage:
    """A healthy cloud on which everything happens, put back between cases."""

    cloud: Cloud
    config: Config
    untrue: frozenset[str]  #: what of its volumes was not as in the table before anything was broken

    def left(self) -> set[str]:
        """What is not as it should be about volumes by now, though the audit may not say so."""
        return contradictions(self.cloud) - self.untrue

    def audit(self) -> Report:
        """A whole audit, without waiting."""
        return audits.audit(self.config, settle=0)

    def found(self) -> list[tuple[str, dict[str, Any]]]:
        """(check, key) of every finding of a whole audit, by name; each check must have an answer."""
        report = self.audit()
        assert report.incomplete == {}
        return ordered((finding.check, dict(finding.key)) for finding in report.findings)

    def plan(self, *chosen: str) -> Plan:
        """A plan for everything that is wrong, by these repairs where there are several."""
        return plans.create(self.config, allow_db=True, max_rows=ALL_ROWS, repairs=tuple(filter(None, chosen)))

    def apply(self, plan: Plan) -> RunResult:
        """By way of its file, as an operator does it: what a repair yields is what it yields when it is asked again."""
        path = str(self.cloud.state / "plan.json")
        self.cloud.state.mkdir(exist_ok=True)
        plans.write(self.config, plan, path)
        read = plans.read(self.config, path, max_rows=ALL_ROWS).plan
        assert read.counts == plan.counts
        assert [a.statements for a in read.actions] == [a.statements for a in plan.actions]
        return runs.apply(self.config, read, accept=("all",), filed=True)


@dataclass(frozen=True, slots=True)
class Land:
    """Where clouds are built: a folder for SQLite files, or a server."""

    folder: Path
    server: MariaDB | None

    @contextmanager
    def stage(self, servers: int) -> Iterator[Stage]:
        """A cloud that remembers how it was; closed at the end."""
        name = f"casebook{servers}"
        cloud = build(
            self.server or self.folder / name, servers=servers, seed=7, prefix=f"{name}_" if self.server else ""
        )
        cloud.save()
        toml = self.folder / f"{name}.toml"
        toml.write_text(cloud.toml(), encoding="utf-8")
        try:
            yield Stage(cloud, load(str(toml)), frozenset(contradictions(cloud)))
        finally:
            cloud.close()


def ordered(found: Any) -> list[tuple[str, dict[str, Any]]]:
    """By name and key, for comparison."""
    return sorted(found, key=repr)


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def land(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Land:
    """Where clouds are built: each kind of database once for the whole session."""
    folder = tmp_path_factory.mktemp("casebook")
    return Land(folder, request.getfixturevalue("mariadb") if request.param == "mariadb" else None)


@pytest.fixture(scope="session")
def few(land: Land) -> Iterator[Stage]:
    """A small cloud."""
    with land.stage(FEW) as stage:
        yield stage


@pytest.fixture(scope="session")
def many(land: Land) -> Iterator[Stage]:
    """A large one."""
    with land.stage(MANY) as stage:
        yield stage


@pytest.fixture
def stage(few: Stage) -> Stage:
    """The small cloud, healthy again."""
    few.cloud.restore()
    return few


@pytest.fixture
def crowd(many: Stage) -> Stage:
    """The large cloud, healthy again."""
    many.cloud.restore()
    return many


@pytest.mark.parametrize("check", sorted(catalogue.checks()))
def test_a_check_is_rehearsed(check: str) -> None:
    """A check has a plant and a look-alike, and what it says of refusals is about variants it has."""
    assert check in modules(), f"lab/src/stackmend_lab/plants/{check.replace('-', '_')}.py is missing"
    module = modules()[check]
    assert callable(module.plant)
    assert module.LOOK_ALIKES
    known = {PLANT, *getattr(module, "VARIANTS", {})}
    assert set(getattr(module, "NOT_REPAIRED", {})) <= known
    assert all(make.__doc__ for make in (module.plant, *module.LOOK_ALIKES.values()))


def test_a_healthy_cloud_is_clean(land: Land, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten thousand servers in all states, nothing planted: nothing is found, every check had what it needs, exit 0."""
    with land.stage(HEALTHY) as stage:
        code = main(["--config", stage.config.origin, "audit", "-f", "json"])
        assert (code, json.loads(capsys.readouterr().out)) == (Exit.CLEAN, [])
        assert stage.found() == []


@pytest.mark.parametrize("case", list(broken()), ids=str)
def test_what_is_broken_is_found_mended_and_taken_back(stage: Stage, case: Case) -> None:
    """Found alone and by its key; repaired; clean; a second run does nothing; undo gives the bytes back."""
    key = case.make(stage.cloud)
    planted = stage.cloud.dump()
    assert stage.found() == [(case.check, key)]
    if case.chosen:
        assert_a_choice(stage.plan(), case)
    plan = stage.plan(case.chosen)
    if case.refused:
        assert_refused(plan, case)
        return
    assert [(action.check, dict(action.key)) for action in plan.runnable] == [(case.check, key)]
    assert unsaid(plan) == {}
    first = stage.apply(plan)
    assert (first.exit, first.failed, first.stale, first.in_doubt) == (Exit.REPAIRED, 0, 0, 0)
    assert first.done > 0
    assert stage.found() == []
    assert stage.left() == set()
    mended = stage.cloud.dump()
    assert mended != planted
    again = stage.apply(plan)
    assert (again.exit, again.steps) == (Exit.CLEAN, 0)
    assert stage.cloud.dump() == mended
    back = runs.undo(stage.config, first.run)
    assert back.exit is Exit.CLEAN
    assert stage.cloud.dump() == planted


def unsaid(plan: Plan) -> dict[str, set[str]]:
    """Safe repair -> what it would delete or overwrite without saying so in ``Repair.removes``; {} is right."""
    safe = [action for action in plan.runnable if action.risk is Risk.SAFE]
    found = {action.repair: undeclared(catalogue.repairs()[action.repair], action.steps) for action in safe}
    return {repair: lost for repair, lost in found.items() if lost}


def assert_a_choice(plan: Plan, case: Case) -> None:
    """Unless the operator says which of the repairs is right, nothing would be changed, and the plan names them."""
    assert plan.runnable == ()
    assert [f"--repair {case.chosen}" in left.reason for left in plan.not_repaired] == [True]


def assert_refused(plan: Plan, case: Case) -> None:
    """Nothing would be changed, and the plan says why."""
    assert plan.runnable == ()
    reasons = [left.reason for left in plan.not_repaired]
    reasons += [text for action in plan.manual for text in (*action.statements, action.why)]
    assert any(case.refused in reason for reason in reasons), reasons


@pytest.mark.parametrize("case", list(healthy()), ids=str)
def test_what_only_looks_broken_is_left_alone(stage: Stage, case: Case) -> None:
    """A look-alike of one check is a finding of none."""
    case.make(stage.cloud)
    assert stage.found() == []


def test_all_look_alikes_together(crowd: Stage) -> None:
    """All of them in one cloud: still nothing is found."""
    for case in healthy():
        case.make(crowd.cloud)
    assert crowd.found() == []


def test_everything_broken_at_once(crowd: Stage) -> None:
    """All plants among all look-alikes: each is found, what can be mended is, once, and undo gives the bytes back.

    Repairs that touch the same rows wait for the next plan, so it takes as many plans as that needs.
    """
    for case in healthy():
        case.make(crowd.cloud)
    keys = {str(case): case.make(crowd.cloud) for case in broken()}
    planted = crowd.cloud.dump()
    assert crowd.found() == ordered((case.check, keys[str(case)]) for case in broken())
    made, chosen = [], {case.check: case.chosen for case in broken() if case.chosen}.values()
    while (plan := crowd.plan(*chosen)).runnable:
        assert unsaid(plan) == {}
        result = crowd.apply(plan)
        assert (result.exit, result.failed, result.stale, result.in_doubt) == (Exit.REPAIRED, 0, 0, 0)
        made.append(result.run)
        last = plan
    again = crowd.apply(last)
    assert (again.exit, again.steps) == (Exit.CLEAN, 0)
    assert crowd.found() == ordered((case.check, keys[str(case)]) for case in broken() if case.refused)
    for run in reversed(made):
        assert runs.undo(crowd.config, run).exit is Exit.CLEAN
    assert crowd.cloud.dump() == planted
