# SPDX-License-Identifier: Apache-2.0
"""What keeps a plan and a run within bounds: limits, consent, the right cloud, the very plan that was read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import plans, runs
from stackmend.cli.shell import main
from stackmend.model.errors import ConsentError, Exit, LimitError, PlanFileError, SourceError
from stackmend.model.operations.network import DeletePort
from stackmend.model.plan import Limits, Plan
from stackmend.model.step import DeleteRow, Risk, UpdateRow
from stackmend_lab.plants.nova import server_deleted_incompletely
from stackmend_lab.plants.placement import allocation_orphan

from ..support.damaged_cloud import Ground, Mortal, ground, made
from ..support.planning import plan_for

ATTRIBUTES = {"database": "neutron", "table": "standardattributes"}


@pytest.fixture
def here(on_sqlite: Ground) -> Ground:
    """A small cloud."""
    return on_sqlite


def orphans(here: Ground) -> Plan:
    """A plan for two orphaned allocations: a few rows of Placement."""
    allocation_orphan.plant(here.cloud)
    allocation_orphan.plant(here.cloud)
    return plan_for(here.config, checks=("allocation-orphan",), allow_db=True, settle=0)


def test_a_plan_may_change_so_many_rows(here: Ground) -> None:
    """As many as --max-rows are fine, one less is too few: no plan, exit 5, and both numbers are named."""
    plan = orphans(here)
    writing = [step for action in plan.runnable for step in action.steps if step.kind in ("update", "delete", "bump")]
    rows = len({(s.table, json.dumps(dict(s.pk), sort_keys=True)) for s in writing})  # type: ignore[union-attr]
    wanted: dict[str, Any] = {"checks": ("allocation-orphan",), "allow_db": True, "settle": 0}
    assert plan_for(here.config, max_rows=rows, **wanted).runnable
    with pytest.raises(LimitError, match=f"{rows} rows, the limit is {rows - 1}") as problem:
        plan_for(here.config, max_rows=rows - 1, **wanted)
    assert problem.value.exit_code is Exit.STOPPED
    assert "--max-rows" in problem.value.hint


def test_a_plan_may_change_such_a_share_of_a_table(here: Ground) -> None:
    """So many rows are always fine; above that the share of the table counts, and the table is named."""
    orphans(here)
    found = here.cloud.rows("placement", "SELECT COUNT(*) AS n FROM allocations")[0]["n"]
    wanted: dict[str, Any] = {"checks": ("allocation-orphan",), "allow_db": True, "settle": 0}
    strict = replace(here.config, limits=Limits(max_share=0.001, share_floor=1))
    with pytest.raises(LimitError, match=f"of the {found} rows of allocations in database placement"):
        plan_for(strict, **wanted)
    floor = replace(here.config, limits=Limits(max_share=0.001, share_floor=50))
    assert plan_for(floor, **wanted).runnable
    share = replace(here.config, limits=Limits(max_share=1.0, share_floor=1))
    assert plan_for(share, **wanted).runnable


def test_a_run_stops_after_so_many_failures(here: Ground) -> None:
    """A lane that is stale does not count; beyond the limit nothing more is begun, and what was not is counted."""
    rows = here.cloud.rows("neutron", "SELECT id, description, revision_number FROM standardattributes LIMIT 8")
    actions: list[list[UpdateRow]] = []
    for number, row in enumerate(rows):
        before = {"description": row["description"], "revision_number": row["revision_number"]}
        after: dict[str, Any] = {"description": "new"}
        if number in (1, 2, 4):
            after = {"revision_number": None}
        if number == 3:
            before["description"] = "of yesterday"
        actions.append([UpdateRow(**ATTRIBUTES, pk={"id": row["id"]}, before=before, after=after)])
    plan = made(here, *actions, stages=range(8), limits=Limits(max_failures=2))
    result = runs.apply(here.config, plan)
    assert (result.done, result.failed, result.stale, result.left) == (1, 3, 1, 3)
    assert result.exit is Exit.STOPPED
    assert any("stopped after 3 failures" in note for note in result.notes)
    texts = here.cloud.rows("neutron", "SELECT id FROM standardattributes WHERE description = 'new'")
    assert [row["id"] for row in texts] == [rows[0]["id"]]
    patient = runs.apply(here.config, replace(plan, limits=Limits(max_failures=3)))
    assert (patient.done, patient.already, patient.failed, patient.left) == (4, 1, 3, 0)


def test_what_may_lose_something_is_accepted_by_name(here: Ground) -> None:
    """Unsafe repairs need consent, each by its name: another name is not enough, and nothing is changed."""
    server_deleted_incompletely.children(here.cloud)
    plan = plan_for(here.config, checks=("server-deleted-incompletely",), allow_db=True, settle=0)
    before = here.cloud.dump()
    for accepted in ((), ("purge-server",), ("finish",)):
        with pytest.raises(ConsentError, match="finish-deletion") as problem:
            runs.apply(here.config, plan, accept=accepted)
        assert "--accept finish-deletion" in problem.value.hint
        assert problem.value.exit_code is Exit.USAGE
    assert here.cloud.dump() == before
    assert here.last() is None
    assert runs.apply(here.config, plan, accept=("finish-deletion",)).exit is Exit.REPAIRED


def test_consent_to_one_of_two_is_consent_to_one(here: Ground) -> None:
    """What has consent is done, the other is left out by its id; without any both are named and nothing is done."""
    plan = orphans(here)
    other = replace(plan.actions[0], id="other", repair="another-repair", risk=Risk.UNSAFE)
    both = replace(plan, actions=(*(replace(a, risk=Risk.UNSAFE) for a in plan.actions), other))
    with pytest.raises(ConsentError) as problem:
        runs.apply(here.config, both)
    assert "another-repair" in problem.value.message
    assert "delete-allocations" in problem.value.message
    result = runs.apply(here.config, both, accept=("delete-allocations",))
    assert (result.left_out, result.done, result.exit) == (("other",), len(plan.actions), Exit.STOPPED)


def test_without_yes_nothing_is_applied(here: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """The command wants --yes, whatever the plan holds."""
    plans.save(orphans(here), here.folder / "plan.json")
    before = here.cloud.dump()
    assert main(["--config", str(here.toml), "plan", "apply", str(here.folder / "plan.json")]) == Exit.USAGE
    assert "--yes" in capsys.readouterr().err
    assert here.cloud.dump() == before


def test_steps_that_nobody_can_do_here(here: Ground) -> None:
    """A plan with calls of an API that is not configured is refused whole."""
    plan = orphans(here)
    call = DeletePort(port="p1").call()
    mixed = replace(plan, actions=(*plan.actions, replace(plan.actions[0], steps=(call,))))
    before = here.cloud.dump()
    with pytest.raises(ConsentError, match="cannot be done here: api"):
        runs.apply(here.config, mixed, accept=("all",))
    assert here.cloud.dump() == before


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory, mortal: Mortal) -> Iterator[Ground]:
    """Another cloud, alike in everything but its databases."""
    with ground(None, tmp_path_factory.mktemp("elsewhere"), mortal) as other:
        yield other


def test_a_plan_of_another_cloud(here: Ground, elsewhere: Ground) -> None:
    """Alike as they are, the plan of one is not applied to the other, nor is a run of one taken back on the other."""
    plan = orphans(here)
    before = elsewhere.cloud.dump()
    with pytest.raises(PlanFileError, match="another cloud") as problem:
        runs.apply(elsewhere.config, plan, accept=("all",))
    assert problem.value.exit_code is Exit.USAGE
    run = runs.apply(here.config, plan, accept=("all",)).run
    shared = replace(elsewhere.config, journal=here.config.journal_url)
    for act in (runs.undo, runs.resume):
        with pytest.raises(PlanFileError, match="another cloud"):
            act(shared, run)
    assert elsewhere.cloud.dump() == before


@pytest.mark.attack("takes nova_api away, and resumes or undoes a run")
def test_a_cloud_that_cannot_be_told_is_not_called_another(here: Ground) -> None:
    """What cannot be read is named, with the exit code of sources: a cluster without quorum is no other cloud."""
    plan = orphans(here)
    run = runs.apply(here.config, plan, accept=("all",)).run
    before, file = here.cloud.dump(), Path(here.cloud.databases["nova_api"].removeprefix("sqlite:///"))
    aside = file.with_suffix(".aside")
    file.rename(aside)
    try:
        for act in (runs.undo, runs.resume, runs.undo_plan):
            with pytest.raises(SourceError, match=f"it is unknown whether run {run} belongs to this cloud"):
                act(here.config, run)
    finally:
        file.unlink(missing_ok=True)
        aside.rename(file)
    assert here.cloud.dump() == before
    assert runs.undo(here.config, run).exit is Exit.CLEAN


def _cut(text: str) -> str:
    return text[: len(text) // 2]


def _edited(text: str) -> str:
    document = json.loads(text)
    step = next(s for s in document["plan"]["actions"][0]["steps"] if s["kind"] == "delete")
    step["pk"] = {name: value + 1 for name, value in step["pk"].items() if isinstance(value, int)}
    return json.dumps(document)


def _more_rows(text: str) -> str:
    document = json.loads(text)
    document["plan"]["limits"]["max_rows"] = 1_000_000
    return json.dumps(document)


def _format(text: str) -> str:
    return text.replace("stackmend-plan-1", "stackmend-plan-9")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_cut, "not a complete JSON document"),
        (_edited, "was changed after it was made"),
        (_more_rows, "was changed after it was made"),
        (_format, "has the format stackmend-plan-9"),
        (lambda _: "[]", "not a stackmend plan"),
        (lambda _: "", "not a complete JSON document"),
    ],
)
def test_a_plan_that_is_not_the_one_that_was_made(here: Ground, edit: Any, reason: str, capsys: Any) -> None:
    """Cut off, edited, foreign: exit 2, nothing is changed. Laid out anew by an editor it is the same plan."""
    file: Path = here.folder / "plan.json"
    plan = orphans(here)
    plans.save(plan, file)
    text = file.read_text()
    before = here.cloud.dump()
    file.write_text(edit(text))
    code = main(["--config", str(here.toml), "plan", "apply", str(file), "--yes", "--accept", "all"])
    assert code == Exit.USAGE
    assert reason in capsys.readouterr().err
    assert here.cloud.dump() == before
    file.write_text(json.dumps(json.loads(text), indent=4, sort_keys=True))
    assert plans.load(file) == plan


def test_a_plan_survives_its_file(here: Ground) -> None:
    """What is read is what was written, secrets were never in it, and its hash names it."""
    plan = orphans(here)
    plans.save(plan, here.folder / "plan.json")
    again = plans.load(here.folder / "plan.json")
    assert again == plan
    assert again.sha256 == plan.sha256
    steps = [step for action in again.runnable for step in action.steps if isinstance(step, DeleteRow)]
    assert steps
