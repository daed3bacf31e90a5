# SPDX-License-Identifier: Apache-2.0
"""The case book: every way of breaking a cloud that the catalogue knows, found, mended and taken back, on real schemas.

A case is a plant or a variant of :mod:`stackmend_lab.plants`. It is gone through as an operator would: the audit
names it and nothing else, the plan is applied, the audit is clean and what was mended is whole, the plan applied again
does nothing, and undo gives the very bytes back. Look-alikes are healthy: the audit must not say a word about them.

All cases are gone through together, in a crowded cloud, each on objects of its own: so the time does not grow with the
catalogue. Alone is gone through what changed here, and what is wrong in the crowd.

Nothing here names a check. A check without a plant, or without a look-alike, fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from stackmend.app import audits, plans, runs
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.engine.planning.losses import undeclared
from stackmend.model.audit import Report
from stackmend.model.errors import Exit
from stackmend.model.finding import Finding
from stackmend.model.journal import RunResult
from stackmend.model.plan import Action, Plan, Unrepaired
from stackmend.model.step import Risk
from stackmend.tables.releases import NEWEST
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants import PLANT, Case, broken, healthy, modules

from .support.crowds import DisagreementError, Owners, crowds, lines, name_of
from .support.granted_accounts import granted
from .support.planning import plan_for
from .support.volume_truth import contradictions

if TYPE_CHECKING:
    from stackmend_lab.postgresql import PostgreSQL

Reported = TypeVar("Reported", Unrepaired, Action)

#: so many servers that any plant finds what it needs
FEW = 250
#: so many that all plants and look-alikes find one each
MANY = 2500
HEALTHY = 10_000
#: so many cases that a small cloud has what all of them need
HANDFUL = 10
#: of a plan that may change everything in a small cloud
ALL_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Stage:
    """A healthy cloud on which everything happens, put back between cases."""

    cloud: Cloud
    config: Config
    untrue: frozenset[str]  #: what of its volumes was not as in the table before anything was broken

    def ready(self) -> None:
        """Healthy again."""
        self.cloud.reset()

    def left(self) -> set[str]:
        """What is not as it should be about volumes by now, though the audit may not say so."""
        return contradictions(self.cloud) - self.untrue

    def audit(self) -> Report:
        """A whole audit, without waiting."""
        return audits.audit(self.config, settle=0)

    def found(self) -> list[tuple[str, dict[str, Any]]]:
        """(check, key) of every finding of a whole audit, by name; each check must have an answer."""
        return said(self.audit())

    def undecided(self, checks: Sequence[str]) -> Plan:
        """A plan for what these checks find, for which nobody has chosen a repair."""
        return plan_for(self.config, checks=checks, allow_db=True, max_rows=ALL_ROWS)

    def plan_of(self, report: Report, chosen: Iterable[str]) -> Plan:
        """A plan for everything that an audit has just found, by these repairs where there are several."""
        return plans.repair_plan(self.config, report, allow_db=True, max_rows=ALL_ROWS, repairs=tuple(chosen))

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
    """Where clouds are built: a folder for SQLite files, or a server, with accounts that may do the least."""

    folder: Path
    server: MariaDB | PostgreSQL | None

    @contextmanager
    def stage(self, servers: int, release: str = NEWEST) -> Iterator[Stage]:
        """A cloud that remembers how it was; closed at the end."""
        name = f"casebook{servers}"
        prefix = f"{name}_" if self.server else ""
        cloud = build(self.server or self.folder / name, servers=servers, seed=7, prefix=prefix, release=release)
        cloud.save()
        toml = self.folder / f"{name}.toml"
        toml.write_text(cloud.toml(), encoding="utf-8")
        with closing(cloud), ExitStack() as stack:
            if self.server:
                toml = stack.enter_context(granted(cloud, self.server, self.folder, name)).toml
            yield Stage(cloud, load(str(toml)), frozenset(contradictions(cloud)))


def said(report: Report) -> list[tuple[str, dict[str, Any]]]:
    """(check, key) of every finding, by name; each check must have an answer."""
    assert report.incomplete == {}
    return ordered((finding.check, dict(finding.key)) for finding in report.findings)


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
    few.ready()
    return few


@pytest.fixture
def crowd(many: Stage) -> Stage:
    """The large cloud, healthy again."""
    many.ready()
    return many


@pytest.mark.parametrize("check", sorted(catalogue.checks()))
def test_a_check_is_rehearsed(check: str) -> None:
    """A check has a plant and a look-alike, and what it says of refusals is about variants it has."""
    assert check in modules(), f"no module of stackmend_lab.plants breaks {check}"
    module = modules()[check]
    assert callable(module.plant)
    assert module.LOOK_ALIKES
    known = {PLANT, *getattr(module, "VARIANTS", {})}
    assert set(getattr(module, "NOT_REPAIRED", {})) <= known
    assert all(make.__doc__ for make in (module.plant, *module.LOOK_ALIKES.values()))


def test_a_healthy_cloud_is_clean(land: Land, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten thousand servers in all states, nothing planted: nothing is found, every check had what it needs, exit 0."""
    with land.stage(HEALTHY) as stage:
        # a check without an answer would be another exit code
        code = main(["--config", stage.config.origin, "audit", "-f", "json"])
        assert (code, json.loads(capsys.readouterr().out)) == (Exit.CLEAN, [])


@pytest.mark.parametrize("case", list(broken()), ids=str)
def test_what_is_broken_is_found_mended_and_taken_back(stage: Stage, case: Case) -> None:
    """One case alone in a cloud: when its files changed, or by hand (``-k`` and a word of its name)."""
    assert_found_mended_and_taken_back(stage, case)


def assert_found_mended_and_taken_back(stage: Stage, case: Case) -> None:
    """Found alone and by its key; repaired; clean; a second run does nothing; undo gives the bytes back."""
    key = case.make(stage.cloud)
    planted = stage.cloud.dump()
    report = stage.audit()
    assert said(report) == ordered([(case.check, key), *case.beside(stage.cloud, key)])
    if case.chosen:
        undecided = stage.plan_of(report, ())
        left = [one for one in undecided.not_repaired if one.check == case.check]
        assert_a_choice(left, undecided.runnable, case)
    plan = stage.plan_of(report, filter(None, [case.chosen]))
    if case.refused:
        assert plan.runnable == ()
        assert_refused(plan.not_repaired, plan.manual, case)
        return
    assert [(action.check, dict(action.key)) for action in plan.runnable] == [(case.check, key)]
    assert case.repair in ("", *(action.repair for action in plan.runnable))
    assert unsaid(plan) == []
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


def unsaid(plan: Plan) -> list[str]:
    """What safe repairs would delete or overwrite without saying so in ``Repair.removes``, a line an action."""
    safe = [action for action in plan.runnable if action.risk is Risk.SAFE]
    lost = [(action, undeclared(catalogue.repairs()[action.repair], action.steps)) for action in safe]
    return [f"{name(action)}: {action.repair} removes {what}" for action, what in lost if what]


def assert_a_choice(left: Iterable[Unrepaired], runnable: Iterable[Action], case: Case) -> None:
    """Unless the operator says which of the repairs is right, nothing would be changed, and the plan names them."""
    assert list(runnable) == [], case
    assert [f"--repair {case.chosen}" in one.reason for one in left] == [True], case


def assert_refused(left: Iterable[Unrepaired], manual: Iterable[Action], case: Case) -> None:
    """The plan says why nothing would be changed."""
    reasons = [one.reason for one in left]
    reasons += [text for action in manual for text in (*action.statements, action.why)]
    assert any(case.refused in reason for reason in reasons), (str(case), reasons)


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


@pytest.mark.parametrize("cases", crowds(), ids=lambda cases: f"{len(cases)}_cases")
def test_everything_broken_at_once(land: Land, cases: list[Case], request: pytest.FixtureRequest) -> None:
    """All plants among all look-alikes. Where that goes wrong, the first of those whose it is are gone through alone.

    The few that cannot share a plan with them are among themselves in the small cloud.
    """
    del land
    together = len(cases) > HANDFUL
    crowd: Stage = request.getfixturevalue("crowd" if together else "stage")
    try:
        assert_all_found_mended_and_taken_back(crowd, cases, healthy() if together else ())
    except Exception as failure:
        small: Stage = request.getfixturevalue("few")
        for case in failure.cases[:HANDFUL] if isinstance(failure, DisagreementError) else ():
            failure.add_note(f"{case} {alone_it_is(small, case)}")
        raise


def alone_it_is(small: Stage, case: Case) -> str:
    """What becomes of a case when nothing else is wrong."""
    small.ready()
    try:
        assert_found_mended_and_taken_back(small, case)
    except Exception as wrong:  # noqa: BLE001  whatever it is, it is told with what went wrong in the crowd
        return f"is wrong alone, too: {type(wrong).__name__}: {wrong}"
    return "is right when it is alone"


def assert_all_found_mended_and_taken_back(stage: Stage, cases: list[Case], look_alikes: Iterable[Case]) -> None:
    """Found, each once; mended; clean but for what is refused; nothing the second time; undone to the byte."""
    Crowd(stage, cases, look_alikes).go_through()


class Crowd:
    """Cases that are wrong in one cloud at once: each is held to what it is held to alone.

    Repairs that touch the same rows wait for the next plan, so it takes as many plans as that needs.
    """

    def __init__(self, stage: Stage, cases: list[Case], look_alikes: Iterable[Case]) -> None:
        self.stage, self.owners = stage, Owners()
        for look_alike in look_alikes:
            look_alike.make(stage.cloud)
        # what is refused is planted first: what it leaves untrue nobody mends
        self.refused = {case: self.owners.make(stage.cloud, case) for case in cases if case.refused}
        self.untrue = contradictions(stage.cloud)
        self.mended = {case: self.owners.make(stage.cloud, case) for case in cases if not case.refused}
        self.planted = stage.cloud.dump()

    def go_through(self) -> None:
        """Found, each once; mended; clean but for what is refused; nothing the second time; undone to the byte."""
        report = self.audit("found", self.refused | self.mended)
        prints = {name(finding): finding.fingerprint for finding in report.findings}
        self.hold_to_choices(prints)
        made, left = self.mend(report, prints)
        self.hold_to_report("found after it was mended", left, self.refused)
        self.owners.agree("untrue of volumes", contradictions(self.stage.cloud) - self.untrue)
        for run in reversed(made):
            self.hold("taken back", runs.undo(self.stage.config, run), Exit.CLEAN)
        self.same("rows after undo", self.planted)

    def audit(self, what: str, expected: Mapping[Case, str]) -> Report:
        """A whole audit, which finds these and nothing else."""
        report = self.stage.audit()
        self.hold_to_report(what, report, expected)
        return report

    def hold_to_report(self, what: str, report: Report, expected: Mapping[Case, str]) -> None:
        """It has an answer of every check, these findings and no other."""
        if report.incomplete:
            asked = [case for check in report.incomplete for case in self.owners.of_check(check)]
            raise DisagreementError(f"not {what}: {report.incomplete}", asked)
        self.owners.agree(what, map(name, report.findings), [*expected.values(), *self.owners.beside(expected)])

    def mend(self, report: Report, prints: Mapping[str, str]) -> tuple[list[str], Report]:
        """Apply plans until there is nothing to do: (the runs, the last audit).

        The last plan refuses what it should, with its reason.
        """
        made, planned, used = [], list[str](), dict[str, str]()
        chosen = {case.chosen for case in self.mended if case.chosen}
        while (plan := self.stage.plan_of(report, chosen)).runnable:
            self.owners.agree("removed without a word in Repair.removes", unsaid(plan))
            result = self.stage.apply(plan)
            self.hold("mended", result, Exit.REPAIRED)
            assert result.done == len(plan.runnable)
            after = self.stage.cloud.dump()
            again = self.stage.apply(plan)
            self.hold("applied again", again, Exit.CLEAN)
            assert again.steps == 0
            self.same("rows after the plan was applied twice", after)
            made.append(result.run)
            planned += map(name, plan.runnable)
            used |= {name(action): action.repair for action in plan.runnable}
            report = self.stage.audit()
        self.owners.agree("mended", planned, self.mended.values())
        if others := [case for case, finding in self.mended.items() if case.repair not in ("", used[finding])]:
            raise DisagreementError("mended by another repair than its plant says", others)
        for case, finding in self.refused.items():
            print_ = prints[finding]
            assert_refused(about(plan.not_repaired, print_), about(plan.manual, print_), case)
        return made, report

    def hold_to_choices(self, prints: Mapping[str, str]) -> None:
        """Of each case that wants a choice, in a plan for which nobody has chosen."""
        checks = {case.check for case in self.mended if case.chosen}
        if not checks:
            return
        plan = self.stage.undecided(sorted(checks))
        for case, finding in self.mended.items():
            if case.chosen:
                print_ = prints[finding]
                assert_a_choice(about(plan.not_repaired, print_), about(plan.runnable, print_), case)

    def hold(self, what: str, result: RunResult, expected: Exit) -> None:
        """A run ended so, and with every action; or the cases are named that its notes are about."""
        if (result.exit, result.failed, result.stale, result.in_doubt) != (expected, 0, 0, 0):
            self.owners.agree(f"{what}: {result}", result.notes)
            raise AssertionError(f"{what}: {result}")

    def same(self, what: str, before: dict[tuple[str, str], list[str]]) -> None:
        """The cloud is as it was then, or the case is named that owns a row which is not."""
        after = self.stage.cloud.dump()
        if after != before:
            self.owners.agree(what, lines(after), lines(before))


def about(some: Iterable[Reported], fingerprint: str) -> list[Reported]:
    """Those of one finding."""
    return [one for one in some if one.fingerprint == fingerprint]


def name(found: Finding | Action) -> str:
    """Of a finding, or of what mends it."""
    return name_of(found.check, found.key)
