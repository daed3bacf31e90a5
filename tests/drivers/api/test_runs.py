# SPDX-License-Identifier: Apache-2.0
"""Plans via api, db and auto; and runs with calls in them that were cut off, repeated, or taken back twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stackmend.app import runs
from stackmend.app.session import CloudSession
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.drivers.journal.lease import stamp
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.errors import ApiError, ConsentError, Exit, LimitError
from stackmend.model.journal import JournalEntry, RunRecord
from stackmend.model.plan import Plan, save
from stackmend.model.plan import load as load_plan
from stackmend.model.step import ApiCall, StepState
from stackmend.model.writer import mark_of
from stackmend_lab.cloud import Cloud
from stackmend_lab.plants.cinder import volume_in_use_server_gone, volume_stuck_detaching
from stackmend_lab.plants.neutron import port_without_server
from stackmend_lab.plants.nova import info_cache_empty
from stackmend_lab.plants.placement import allocation_orphan

from ...support.planning import plan_for
from .fake import PASSWORD, TOKEN, Fake

CHECK = "volume-stuck-detaching"


@pytest.fixture
def stuck(built: Cloud, fake: Fake) -> Iterator[str]:
    """A volume that is stuck detaching, intact; settled again afterwards."""
    volume = str(volume_stuck_detaching.plant(built)["volume"])
    yield volume
    built.update("cinder", "volumes", {"id": volume}, status="in-use")


def offline(config: Config) -> Config:
    """The same cloud without an API."""
    return replace(config, cloud=None, clouds=None)


def plan_of(config: Config, check: str = CHECK, **options: object) -> Plan:
    """A plan for one check."""
    return plan_for(config, checks=(check,), settle=0, **options)  # type: ignore[arg-type]


def reason(plan: Plan) -> str:
    """Why the only finding is left."""
    (left,) = plan.not_repaired
    assert plan.runnable == ()
    return left.reason


def status(cloud: Cloud, volume: str) -> str:
    """What the volume says."""
    return str(cloud.rows("cinder", "SELECT status FROM volumes WHERE id = :v", {"v": volume})[0]["status"])


@pytest.mark.usefixtures("stuck")
def test_auto_takes_the_api_even_where_rows_are_allowed(config: Config) -> None:
    """The API comes first, and then there is nothing to excuse."""
    (action,) = plan_of(config, allow_db=True).runnable
    assert (action.strategy, action.instead) == ("api", "")


@pytest.mark.usefixtures("stuck")
def test_db_never_asks_the_api(config: Config, fake: Fake) -> None:
    """Nobody even signs in."""
    fake.seen.clear()
    (action,) = plan_of(config, via="db", allow_db=True).runnable
    assert (action.strategy, action.instead, fake.seen) == ("db", "", [])


@pytest.mark.usefixtures("stuck")
def test_without_an_api_the_finding_is_left_with_both_reasons(config: Config) -> None:
    """What would help: an API, or consent to change rows."""
    assert reason(plan_of(offline(config))) == "no API is configured; needs --allow-db"
    (action,) = plan_of(offline(config), allow_db=True).runnable
    assert (action.strategy, action.instead) == ("db", "no API is configured")
    assert "--via api excludes its strategy db" in reason(plan_of(offline(config), via="api"))


@pytest.mark.usefixtures("stuck")
def test_an_api_that_does_not_answer_is_a_reason(config: Config, fake: Fake) -> None:
    """It is said, and rows are used only where that is allowed."""
    fake.fault("POST", "/auth/tokens", "refuse", times=9, status=503)
    assert "the API cannot be used" in reason(plan_of(config))
    (action,) = plan_of(config, allow_db=True).runnable
    assert action.strategy == "db"
    assert "the API cannot be used" in action.instead


@pytest.mark.usefixtures("stuck")
def test_a_service_that_breaks_while_it_is_planned(config: Config, fake: Fake) -> None:
    """The finding is left with what the service says."""
    fake.fault("GET", "/volumes/", "refuse", times=9, status=500)
    assert "the API could not be read: block-storage of cloud fake answered 500" in reason(plan_of(config))


@pytest.mark.usefixtures("stuck")
def test_an_api_of_another_cloud_is_never_used(config: Config, fake: Fake) -> None:
    """Not to plan, and not to apply a plan either."""
    plan = plan_of(config)
    foreign = {"services": [{"id": "somebody-elses"}]}
    fake.fault("GET", "/os-services", "refuse", times=20, status=200, body=foreign)
    assert "belong to different clouds" in reason(plan_of(config))
    fake.seen.clear()
    with pytest.raises(ApiError, match="belong to different clouds"):
        runs.apply(config, plan)
    assert fake.changes() == []


def test_what_no_api_can_do_says_so(built: Cloud, config: Config) -> None:
    """The cache of a server whose own healer is off."""
    key = info_cache_empty.plant(built)
    plan = plan_of(config, "info-cache-empty")
    left = next(one for one in plan.not_repaired if one.resource_id == key["server"])
    assert "needs --allow-db" in left.reason
    assert "no call fills an empty network cache" in left.reason
    (action,) = [a for a in plan_of(config, "info-cache-empty", allow_db=True).runnable if dict(a.key) == key]
    assert "no call fills an empty network cache" in action.instead
    assert runs.apply(config, replace(plan, actions=(replace(action, id="a1"),))).exit is Exit.REPAIRED


def test_a_plan_with_calls_survives_its_file(config: Config, stuck: str, tmp_path: Path) -> None:
    """Guards and inverses come back, and the literal request is in it for whoever signs it off."""
    plan = plan_of(config)
    save(plan, tmp_path / "plan.json")
    again = load_plan(tmp_path / "plan.json")
    assert again == plan
    (text,) = again.runnable[0].statements
    assert text.startswith(f'[block-storage API] POST /volumes/{stuck}/action {{"os-roll_detaching": {{}}}}')
    assert 'if status = "detaching"' in text


@pytest.mark.usefixtures("stuck")
def test_a_plan_with_calls_is_refused_where_there_is_no_api(config: Config) -> None:
    """Before anything is begun."""
    plan = plan_of(config)
    with pytest.raises(ConsentError, match="cannot be done here: api"):
        runs.apply(offline(config), plan)


def test_two_findings_of_one_thing_are_not_repaired_side_by_side(built: Cloud, config: Config) -> None:
    """Both are about the same port: the second one waits for the next plan."""
    key = port_without_server.plant(built)
    plan = plan_of(config, "port-without-server", via="api")
    (action,) = [a for a in plan.runnable if dict(a.key) == key]
    overlaps = [step.arguments["port"] for step in action.steps if isinstance(step, ApiCall)]
    assert overlaps == [key["port"]] * len(overlaps)
    assert runs.apply(config, replace(plan, actions=(action,)), accept=("all",)).exit is Exit.REPAIRED


def test_calls_count_for_the_limits_as_rows_do(built: Cloud, config: Config) -> None:
    """A plan that would delete half of a cloud through the API is refused like one that would delete its rows."""
    for _ in range(3):
        allocation_orphan.unknown(built)
    with pytest.raises(LimitError, match="would change"):
        plan_of(config, "allocation-orphan", via="api", max_rows=2)
    strict = replace(config, limits=replace(config.limits, max_share=0.001, share_floor=0))
    with pytest.raises(LimitError, match="rows of consumers in database placement"):
        plan_of(strict, "allocation-orphan", via="api")


def begun(config: Config, plan: Plan, *entries: JournalEntry) -> str:
    """A run of which the process died after these entries; its id."""
    cloud = CloudSession.of(config).databases.identity
    record = RunRecord(
        id="20261121-000000-dead", kind="apply", plan=plan.id, sha256=plan.sha256, cloud=cloud, version="test",
        operator="somebody", host="elsewhere", pid=1, created_at=stamp(),
    )  # fmt: skip
    journal = DatabaseJournal(config.journal_url)
    journal.begin(record, plan.runnable)
    journal.note(record.id, entries)
    journal.close()
    return record.id


def test_a_call_that_had_taken_effect_is_not_repeated(built: Cloud, fake: Fake, config: Config, stuck: str) -> None:
    """The process died before it could note the outcome: the live state tells, and the call is taken back as ours."""
    plan = plan_of(config)
    run = begun(config, plan, JournalEntry(0, StepState.INTENT, None, "", 1))
    built.update("cinder", "volumes", {"id": stuck}, status="in-use")
    fake.seen.clear()
    assert runs.resume(config, run).done == 1
    assert fake.changes() == []
    assert runs.show_run(config, run)[2][-1].note == "found to be done"
    assert runs.undo(config, run).exit is Exit.CLEAN
    assert status(built, stuck) == "detaching"


def test_a_call_that_had_no_effect_is_made(built: Cloud, fake: Fake, config: Config, stuck: str) -> None:
    """Under the same name as before, by which the services' logs tell whether it came twice."""
    plan = plan_of(config)
    run = begun(config, plan, JournalEntry(0, StepState.INTENT, None, "", 1))
    assert runs.resume(config, run).exit is Exit.REPAIRED
    (sent,) = fake.sent("POST", stuck)
    assert sent.headers["x-openstack-request-id"] == mark_of(run, 0)
    assert status(built, stuck) == "in-use"


def test_a_call_that_cannot_be_looked_at_stays_in_doubt(fake: Fake, config: Config, stuck: str) -> None:
    """Nothing is sent, and undo refuses to work on it."""
    plan = plan_of(config)
    run = begun(config, plan, JournalEntry(0, StepState.INTENT, None, "", 1))
    fake.fault("GET", stuck, "refuse", times=9, status=500)
    result = runs.resume(config, run)
    assert (result.exit, result.in_doubt, fake.sent("POST", stuck)) == (Exit.IN_DOUBT, 1, [])
    fake.faults.clear()
    assert runs.resume(config, run).exit is Exit.REPAIRED


def test_a_plan_that_is_applied_twice_sends_nothing_twice(fake: Fake, config: Config, stuck: str) -> None:
    """The second time everything is done already, and undo of that run has nothing to take back."""
    plan = plan_of(config)
    assert runs.apply(config, plan).exit is Exit.REPAIRED
    fake.seen.clear()
    again = runs.apply(config, plan)
    assert (again.exit, again.already, fake.sent("POST", stuck)) == (Exit.CLEAN, 1, [])
    assert runs.undo(config, again.run).run == ""


def test_undo_is_itself_undone(built: Cloud, config: Config, stuck: str) -> None:
    """There and back, and there again; guarded each time."""
    result = runs.apply(config, plan_of(config))
    back = runs.undo(config, result.run)
    assert (back.exit, status(built, stuck)) == (Exit.CLEAN, "detaching")
    forth = runs.undo(config, back.run)
    assert (forth.exit, status(built, stuck)) == (Exit.CLEAN, "in-use")


def test_undo_leaves_alone_what_has_moved_on(built: Cloud, fake: Fake, config: Config, stuck: str) -> None:
    """The guard of an inverse is what the call left."""
    result = runs.apply(config, plan_of(config))
    built.update("cinder", "volumes", {"id": stuck}, status="maintenance")
    fake.seen.clear()
    back = runs.undo(config, result.run)
    assert (back.exit, back.stale, fake.sent("POST", stuck)) == (Exit.STOPPED, 1, [])


def test_what_cannot_be_taken_back_is_said(built: Cloud, config: Config) -> None:
    """Before consent, and when it is asked for all the same."""
    volume_in_use_server_gone.plant(built)
    plan = plan_of(config, "volume-in-use-server-gone", via="api")
    assert all(action.irreversible for action in plan.runnable)
    result = runs.apply(config, plan, accept=("all",))
    back = runs.undo(config, result.run)
    assert back.exit is Exit.STOPPED
    assert "is irreversible: [block-storage API] DELETE /attachments/" in back.notes[0]


def test_a_failed_call_stops_its_lane_alone(built: Cloud, fake: Fake, config: Config) -> None:
    """The other allocation goes; the run says what became of the first one."""
    first, second = allocation_orphan.unknown(built)["consumer"], allocation_orphan.unknown(built)["consumer"]
    plan = plan_of(config, "allocation-orphan", via="api")
    fake.fault("PUT", first, "refuse", status=403, body={"errors": [{"detail": "Policy does not allow it"}]})
    result = runs.apply(config, plan)
    assert (result.exit, result.failed) == (Exit.STOPPED, 1)
    assert "Policy does not allow it" in result.notes[0]
    held = "SELECT consumer_id FROM allocations WHERE consumer_id IN (:a, :b)"
    assert {row["consumer_id"] for row in built.rows("placement", held, {"a": first, "b": second})} == {first}


@pytest.mark.usefixtures("stuck")
def test_the_journal_and_the_plan_hold_nothing_secret(config: Config, tmp_path: Path) -> None:
    """Ids of requests are in the journal; token and password are in no file but the account's own."""
    plan = plan_of(config)
    save(plan, tmp_path / "plan.json")
    result = runs.apply(config, plan)
    intent, outcome = runs.show_run(config, result.run)[2]
    assert mark_of(result.run, 0) in intent.note
    assert outcome.note.startswith("done (req-")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert PASSWORD.encode() not in text
            assert TOKEN.encode() not in text


def test_the_command_line_from_plan_to_undo(
    built: Cloud, config: Config, stuck: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--via api: the plan shows the request, apply makes it, undo takes it back; the exit codes are the same."""
    front = ["--config", config.origin]
    plan = str(tmp_path / "plan.json")
    asked = ["plan", "create", "--check", CHECK, "--via", "api", "--out", plan]
    assert main([*front, *asked]) == Exit.FINDINGS
    assert main([*front, "plan", "show", plan]) == Exit.CLEAN
    shown = capsys.readouterr().out
    asked = " ".join(shown.split())
    assert f'> [block-storage API] POST /volumes/{stuck}/action {{"os-roll_detaching": {{}}}}' in asked
    assert "by api" in shown
    assert main([*front, "plan", "apply", plan, "--yes"]) == Exit.REPAIRED
    assert status(built, stuck) == "in-use"
    run = runs.list_runs(load(config.origin))[0].id
    assert main([*front, "run", "show", run]) == Exit.CLEAN
    shown = capsys.readouterr().out
    assert mark_of(run, 0) in shown
    assert "2 requests: req-" in shown
    assert main([*front, "run", "undo", run, "--yes"]) == Exit.CLEAN
    assert status(built, stuck) == "detaching"
