# SPDX-License-Identifier: Apache-2.0
"""One run at a time writes to a cloud, and a lock that nobody holds any more is in nobody's way."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from stackmend.app import plans, runs
from stackmend.cli.shell import main
from stackmend.drivers.locks import SILENT
from stackmend.model.errors import Exit, LockedError
from stackmend.model.journal import RunRecord, RunState
from stackmend.model.plan import Plan
from stackmend.model.step import UpdateRow

from .ground import Ground, Mortal, made


@pytest.fixture
def here(on_sqlite: Ground) -> Ground:
    """A small cloud; the lock is in the journal, whatever the cloud is on."""
    return on_sqlite


@pytest.fixture
def plan(here: Ground) -> Plan:
    """Names for two ports: two actions, in two stages so that they are two transactions; and its file."""
    rows = here.cloud.rows("neutron", "SELECT id, name FROM ports ORDER BY id LIMIT 2")
    steps = [
        UpdateRow(
            database="neutron", table="ports", pk={"id": row["id"]}, before={"name": row["name"]}, after={"name": "new"}
        )
        for row in rows
    ]
    found = made(here, *([step] for step in steps), stages=(0, 1))
    plans.save(found, here.folder / "plan.json")
    return found


def held(here: Ground, like: Plan, **values: object) -> RunRecord:
    """Somebody else's run that holds the lock: of this very process, unless ``values`` say else."""
    record = RunRecord(
        id="20260101-000000-beef", kind="apply", plan=like.id, sha256=like.sha256, cloud=like.cloud, version="1",
        operator="somebody", host=os.uname().nodename, pid=os.getpid(), created_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    record = replace(record, **values)  # type: ignore[arg-type]
    with here.journal() as journal:
        journal.lock(like.cloud, record)
        journal.begin(record, like.actions)
    return record


def silent_for(here: Ground, age: timedelta) -> None:
    """Let the holder of the lock have been silent for so long."""
    engine = sa.create_engine(here.config.journal_url)
    with engine.begin() as connection:
        beat = (datetime.now(UTC) - age).isoformat(timespec="microseconds")
        connection.execute(sa.text("UPDATE stackmend_locks SET beat = :beat"), {"beat": beat})
    engine.dispose()


def test_the_second_of_two_runs_is_refused(here: Ground, plan: Plan) -> None:
    """While one process writes another one gets LockedError, changes nothing and leaves no run; the first goes on."""
    file, other = here.folder / "plan.json", Mortal()
    try:
        other.begin("apply", here.toml, file, deadly=4, when="after", signal=int(signal.SIGSTOP))
        first = _stopped(here)
        before = here.cloud.dump()
        refused = here.run("apply", file)
        assert refused["error"][0] == "LockedError"
        assert refused["error"][3] == Exit.STOPPED
        assert first.id in refused["error"][1]
        assert str(first.pid) in refused["error"][1]
        assert here.cloud.dump() == before
        with here.journal() as journal:
            assert [run.id for run in journal.runs()] == [first.id]
        os.kill(first.pid, signal.SIGCONT)
        result = other.ended()["result"]
    finally:
        other.close()
    assert (result["run"], result["exit"], result["done"]) == (first.id, Exit.REPAIRED, 2)
    assert here.run("undo", first.id)["result"]["exit"] == Exit.CLEAN


def _stopped(here: Ground) -> RunRecord:
    """The run of the process that stops itself in the middle, once it has done so."""
    for _ in range(600):
        run = here.last()
        if run is not None and Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return run
        time.sleep(0.05)
    raise AssertionError("the run does not come to the place where it is to stop")


def test_the_command_says_so_too(here: Ground, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """``plan apply`` of a locked cloud exits 5 and names who writes to it."""
    holder = held(here, plan, pid=os.getppid())
    code = main(["--config", str(here.toml), "plan", "apply", str(here.folder / "plan.json"), "--yes"])
    said = capsys.readouterr().err
    assert code == Exit.STOPPED
    assert holder.id in said
    assert "somebody" in said


def test_undo_and_resume_want_the_lock_too(here: Ground, plan: Plan) -> None:
    """While another run writes nothing is taken back and nothing is taken up."""
    run = runs.apply(here.config, plan).run
    mended = here.cloud.dump()
    held(here, plan, pid=os.getppid())
    for again in (runs.undo, runs.resume):
        with pytest.raises(LockedError):
            again(here.config, run)
    assert here.cloud.dump() == mended


def test_the_lock_of_a_dead_process_is_taken_over(here: Ground, plan: Plan) -> None:
    """A run that was killed leaves its lock; its resume takes it, ends the run and gives it back."""
    died = here.run("apply", here.folder / "plan.json", deadly=4, when="after")
    assert died["signal"] == signal.SIGKILL
    run = here.last()
    assert run is not None
    result = runs.resume(here.config, run.id)
    assert (result.exit, result.done) == (Exit.REPAIRED, 2)
    assert runs.apply(here.config, plan).already == 2


def test_the_lock_of_another_host_is_not(here: Ground, plan: Plan) -> None:
    """Nobody can tell from here whether a process of another host lives: its lock holds, even for its own run."""
    record = held(here, plan, host="another-controller", pid=1)
    before = here.cloud.dump()
    for attempt in (lambda: runs.apply(here.config, plan), lambda: runs.resume(here.config, record.id)):
        with pytest.raises(LockedError, match="another-controller"):
            attempt()
    assert here.cloud.dump() == before
    with here.journal() as journal:
        assert journal.run(record.id).state is RunState.RUNNING


def test_a_silent_host_gives_way_to_its_own_run_alone(here: Ground, plan: Plan) -> None:
    """After a quarter of an hour without a sign its run may be taken up from here; no other run may begin."""
    record = held(here, plan, host="another-controller", pid=1)
    silent_for(here, SILENT + timedelta(seconds=5))
    with pytest.raises(LockedError):
        runs.apply(here.config, plan)
    result = runs.resume(here.config, record.id)
    assert (result.exit, result.done) == (Exit.REPAIRED, 2)


def test_a_beating_host_does_not_give_way(here: Ground, plan: Plan) -> None:
    """A host that was heard of a little while ago keeps its lock."""
    record = held(here, plan, host="another-controller", pid=1)
    silent_for(here, SILENT - timedelta(seconds=60))
    with pytest.raises(LockedError):
        runs.resume(here.config, record.id)


def test_a_lock_is_about_one_cloud(here: Ground, plan: Plan) -> None:
    """Runs on other clouds that share the journal are nobody's business."""
    held(here, replace(plan, cloud="another-cloud"), pid=os.getppid())
    assert runs.apply(here.config, plan).exit is Exit.REPAIRED
