# SPDX-License-Identifier: Apache-2.0
"""One run at a time writes to a cloud, and a lease that nobody holds any more is in nobody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from stackmend.app import plans, runs
from stackmend.app.session import CloudSession
from stackmend.cli.shell import main
from stackmend.config.settings import load
from stackmend.drivers.journal import lease
from stackmend.model.errors import Exit, JournalError, LockedError, UsageError
from stackmend.model.journal import RunRecord, RunState
from stackmend.model.plan import Plan
from stackmend.model.step import UpdateRow
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.placement import allocation_orphan

from ..support.damaged_cloud import Ground, Mortal, made
from ..support.planning import plan_for

#: what makes a container as far as process ids go: the host name stays
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--uts", "--kill-child")


@pytest.fixture
def here(on_sqlite: Ground) -> Ground:
    """A small cloud; the lease is in the journal, whatever the cloud is on."""
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


def orphan(here: Ground) -> None:
    """The plan file is one of a repair: the command takes no other."""
    allocation_orphan.plant(here.cloud)
    real = plan_for(here.config, checks=("allocation-orphan",), allow_db=True, settle=0)
    plans.save(real, here.folder / "plan.json")


def held(here: Ground, like: Plan, **values: object) -> RunRecord:
    """Somebody else's run that holds the lease; ``values`` are of the lease: it is of this very process otherwise."""
    record = RunRecord(
        id="20260101-000000-beef", kind="apply", plan=like.id, sha256=like.sha256, cloud=like.cloud, version="1",
        operator="somebody", host=os.uname().nodename, pid=os.getpid(), created_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    with here.journal() as journal:
        journal.lock(CloudSession.of(here.config).databases.lease, record)
        journal.begin(record, like.actions)
    sql(here, "UPDATE stackmend_leases SET " + ", ".join(f"{name} = :{name}" for name in values), values)
    return record


def sql(here: Ground, statement: str, values: dict[str, object]) -> None:
    """Change the journal behind its back."""
    engine = sa.create_engine(here.config.journal_url)
    with engine.begin() as connection:
        if values:
            connection.execute(sa.text(statement), values)
    engine.dispose()


def expire(here: Ground) -> None:
    """Let the lease have run out, as if nobody had been heard of for long."""
    sql(here, "UPDATE stackmend_leases SET expires = :then", {"then": ago(timedelta(seconds=1))})


def ago(age: timedelta) -> str:
    """So long before now."""
    return (datetime.now(UTC) - age).isoformat(timespec="microseconds")


#: what a lease says of a process that nobody can see from here
ELSEWHERE = {"host": "another-controller", "process": "another-boot 4026531836 12345", "pid": 1}


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
    for _ in range(2400):
        run = here.last()
        if run is not None and Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return run
        time.sleep(0.05)
    raise AssertionError("the run does not come to the place where it is to stop")


def test_the_command_says_so_too(here: Ground, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """``plan apply`` of a locked cloud exits 5 and names who writes to it."""
    orphan(here)
    holder = held(here, plan)
    code = main(["--config", str(here.toml), "plan", "apply", str(here.folder / "plan.json"), "--yes"])
    said = capsys.readouterr().err
    assert code == Exit.STOPPED
    assert holder.id in said
    assert "somebody" in said


def test_undo_and_resume_want_the_lease_too(here: Ground, plan: Plan) -> None:
    """While another run writes nothing is taken back and nothing is taken up."""
    run = runs.apply(here.config, plan).run
    mended = here.cloud.dump()
    held(here, plan)
    for again in (runs.undo, runs.resume):
        with pytest.raises(LockedError):
            again(here.config, run)
    assert here.cloud.dump() == mended


def test_the_lease_of_a_dead_process_is_taken_over(here: Ground, plan: Plan) -> None:
    """A run that was killed is shown as cut off; its resume takes its lease, ends the run and gives it back."""
    died = here.run("apply", here.folder / "plan.json", deadly=4, when="after")
    assert died["signal"] == signal.SIGKILL
    run = here.last()
    assert run is not None
    assert run.state is RunState.CUT_OFF
    with pytest.raises(UsageError, match="was cut off"):
        runs.undo(here.config, run.id)
    result = runs.resume(here.config, run.id)
    assert (result.exit, result.done) == (Exit.REPAIRED, 2)
    assert runs.apply(here.config, plan).already == 2


def test_a_process_that_cannot_be_seen_counts_until_its_lease_runs_out(here: Ground, plan: Plan) -> None:
    """Another host, or a container: its lease holds, for its own run too; when it has run out anybody may go on."""
    record = held(here, plan, **ELSEWHERE)
    before = here.cloud.dump()
    for attempt in (lambda: runs.apply(here.config, plan), lambda: runs.resume(here.config, record.id)):
        with pytest.raises(LockedError, match="another-controller") as refused:
            attempt()
        assert "its lease expires in" in refused.value.hint
    assert here.cloud.dump() == before
    with here.journal() as journal:
        assert journal.run(record.id).state is RunState.RUNNING
    expire(here)
    with here.journal() as journal:
        assert journal.run(record.id).state is RunState.CUT_OFF
    result = runs.resume(here.config, record.id)
    assert (result.exit, result.done) == (Exit.REPAIRED, 2)


@pytest.mark.parametrize(
    "process", ["", "another-boot 4026531836 12345", "the same boot, another namespace", "the same pid, started later"]
)
def test_a_pid_is_a_hint_at_most(here: Ground, plan: Plan, process: str) -> None:
    """The holder's pid is that of a living process here: it counts only with its boot, namespace and start."""
    kernel, _, start = lease.process(os.getppid()).rpartition(" ")
    known = process.replace("the same boot, another namespace", f"{kernel[:-1]}0 {start}")
    if process.startswith("the same pid"):
        known = f"{kernel} {int(start) + 1}"  # the one that held it is gone, and its number was given away again
    held(here, plan, pid=os.getppid(), process=known)
    if process.startswith("the same pid"):
        assert runs.apply(here.config, plan).exit is Exit.REPAIRED
        return
    with pytest.raises(LockedError):
        runs.apply(here.config, plan)
    expire(here)
    assert runs.apply(here.config, plan).exit is Exit.REPAIRED


def test_a_process_that_is_seen_to_live_keeps_its_lease(here: Ground, plan: Plan) -> None:
    """A clock that was set forward makes nobody dead who is there."""
    held(here, plan, pid=os.getppid(), process=lease.process(os.getppid()))
    sql(here, "UPDATE stackmend_leases SET expires = :then, beat = :then", {"then": ago(timedelta(hours=1))})
    with pytest.raises(LockedError) as refused:
        runs.apply(here.config, plan)
    assert "exists but does not renew its lease" in refused.value.hint


def test_a_lease_that_could_not_be_given_back(here: Ground, plan: Plan) -> None:
    """A run of this very process ended while its journal was out of order: it keeps out no later one of its own."""
    record = held(here, plan)
    with pytest.raises(LockedError):
        runs.apply(here.config, plan)
    expire(here)
    with here.journal() as journal:
        journal.lock(CloudSession.of(here.config).databases.lease, record)
        sql(here, "ALTER TABLE stackmend_leases RENAME TO away", {"any": 1})
        with pytest.raises(JournalError):
            journal.unlock(record.id)
    sql(here, "ALTER TABLE away RENAME TO stackmend_leases", {"any": 1})
    with here.journal() as journal:
        assert journal.run(record.id).state is RunState.CUT_OFF
    assert runs.apply(here.config, plan).exit is Exit.REPAIRED


def test_a_lease_is_about_one_cloud(here: Ground, plan: Plan) -> None:
    """Runs on other clouds that share the journal are nobody's business."""
    held(here, plan, cloud="another-cloud")
    assert runs.apply(here.config, plan).exit is Exit.REPAIRED


def test_one_cloud_by_two_names(here: Ground) -> None:
    """A cloud that is reached by other names, or with fewer databases, is the same one: its first cell tells."""
    config = here.config
    fewer = replace(config, databases={name: a for name, a in config.databases.items() if name != "glance"})
    one, other = CloudSession.of(config).databases, CloudSession.of(fewer).databases
    assert one.identity != other.identity
    assert one.lease == other.lease


def test_a_lease_is_renewed_while_a_step_takes_long(tmp_path: Path) -> None:
    """A thread beats, whatever the run is waiting for; it goes on after a journal that failed for a while."""
    beats = []

    def beat() -> None:
        beats.append(time.monotonic())
        if len(beats) == 2:
            raise JournalError("away for a moment")

    with lease.Heartbeat(beat, 0.01):
        time.sleep(0.5)
    assert len(beats) > 5
    seen = len(beats)
    time.sleep(0.05)
    assert len(beats) == seen


@pytest.mark.attack("a run that was paused goes on after another one has taken over its lease")
def test_a_holder_that_lost_its_lease_stops(here: Ground, plan: Plan) -> None:
    """It begins nothing more, changes no row, and says who has the cloud now; the run is the other one's."""
    file, other = here.folder / "plan.json", Mortal()
    try:
        other.begin("apply", here.toml, file, deadly=4, when="after", signal=int(signal.SIGSTOP))
        first = _stopped(here)
        sql(here, "UPDATE stackmend_leases SET process = :there", {"there": "another-boot 1 1"})
        with pytest.raises(LockedError):
            runs.resume(here.config, first.id)
        expire(here)
        result = runs.resume(here.config, first.id)
        assert (result.exit, result.done) == (Exit.REPAIRED, 2)
        mended = here.cloud.dump()
        os.kill(first.pid, signal.SIGCONT)
        ended = other.ended()
    finally:
        other.close()
    assert ended["error"][0] == "LeaseError"
    assert ended["error"][3] == Exit.STOPPED
    assert here.cloud.dump() == mended
    with here.journal() as journal:
        assert journal.run(first.id).state is RunState.DONE
    assert here.run("undo", first.id)["result"]["exit"] == Exit.CLEAN


@pytest.mark.attack("a second run from a container with its own process ids and the same host name")
def test_two_namespaces_of_process_ids(here: Ground, plan: Plan) -> None:
    """Same host name, same pids: neither apply nor resume begins beside the run that lives in the other namespace."""
    if subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace of process ids can be made here")
    file, one, two = here.folder / "plan.json", Mortal(CONTAINER), Mortal(CONTAINER)
    try:
        one.begin("apply", here.toml, file, deadly=4, when="after", signal=int(signal.SIGSTOP))
        first = _appeared(here, 2)
        before = here.cloud.dump()
        refused = [two("apply", here.toml, file), two("resume", here.toml, first.id)]
        outside = here.run("resume", first.id)
        assert [done["error"][0] for done in (*refused, outside)] == ["LockedError"] * 3
        assert here.cloud.dump() == before
        expire(here)
        result = two("resume", here.toml, first.id)["result"]
        assert (result["exit"], result["done"]) == (Exit.REPAIRED, 2)
        for pid in _below(one.pid):
            os.kill(pid, signal.SIGCONT)
        assert one.ended()["error"][0] == "LeaseError"
    finally:
        one.close()
        two.close()


def _appeared(here: Ground, entries: int) -> RunRecord:
    """The run that has written so many entries, once it has."""
    for _ in range(2400):
        run = here.last()
        with here.journal() as journal:
            if run is not None and len(journal.entries(run.id)) >= entries:
                return run
        time.sleep(0.05)
    raise AssertionError("the run does not come to the place where it is to stop")


def _below(pid: int) -> list[int]:
    """The processes that a process has begun, and those that they have."""
    mine = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return mine + [deeper for child in mine for deeper in _below(child)]


@pytest.mark.attack("two operators with two state folders apply to one cloud at the same time")
def test_two_state_folders(here: Ground, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Journals in files do not know each other: apply says so; the rows are changed once all the same."""
    other = tmp_path / "other.toml"
    text = here.toml.read_text().replace(f'directory = "{here.cloud.state}"', f'directory = "{tmp_path / "state"}"')
    assert str(tmp_path / "state") in text
    other.write_text(text)
    orphan(here)
    held(here, plan)
    code = main(["--config", str(other), "plan", "apply", str(here.folder / "plan.json"), "--yes"])
    said = capsys.readouterr().err
    assert code == Exit.REPAIRED
    (line,) = [line for line in said.splitlines() if "can run at the same time" in line]
    assert "journal.db" in line


@pytest.mark.attack("two operators with two state folders apply to one cloud at the same time")
def test_a_shared_journal(on_mariadb: Ground, tmp_path: Path, mariadb: MariaDB) -> None:
    """With one journal on a server the second is told who is writing, by the clock of the server."""
    here = on_mariadb
    mariadb.create("shared_journal")
    url = mariadb.url("shared_journal")
    toml = tmp_path / "shared.toml"
    ahead = "SET timestamp = UNIX_TIMESTAMP() + 86400"
    address = sa.make_url(url).update_query_dict({"init_command": ahead}).render_as_string(hide_password=False)
    toml.write_text(here.toml.read_text().replace("[state]", f'[state]\njournal = "{address}"'))
    config = load(str(toml))
    rows = here.cloud.rows("neutron", "SELECT id, name FROM ports ORDER BY id LIMIT 1")
    change = UpdateRow(
        database="neutron", table="ports", pk={"id": rows[0]["id"]}, before={"name": rows[0]["name"]},
        after={"name": "new"},
    )  # fmt: skip
    plan = made(here, [change])
    record = RunRecord(
        id="20260101-000000-beef", kind="apply", plan=plan.id, sha256="", cloud=plan.cloud, version="1",
        operator="somebody", host="another-controller", pid=1, created_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    with CloudSession.of(config).journal() as journal:
        journal.lock(CloudSession.of(config).databases.lease, record)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        (beat,) = connection.execute(sa.text("SELECT beat FROM stackmend_leases")).one()
        assert datetime.fromisoformat(beat) - datetime.now(UTC) > timedelta(hours=23)
        connection.execute(sa.text("UPDATE stackmend_leases SET process = ''"))
    elsewhere = replace(config, state=tmp_path / "another-state")
    with pytest.raises(LockedError, match="somebody on another-controller"):
        runs.apply(elsewhere, plan)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE stackmend_leases SET expires = beat"))
    engine.dispose()
    result = runs.apply(elsewhere, plan)
    assert result.exit is Exit.REPAIRED
    assert runs.undo(elsewhere, result.run).exit is Exit.CLEAN


def test_a_lock_of_an_older_stackmend_is_respected(here: Ground, plan: Plan) -> None:
    """A journal of version 1 is read and brought up to date; the lock of a run that still goes on there counts."""
    with here.journal() as journal:
        journal.runs()
    old = {"cloud": plan.cloud, "run": "20260101-000000-0old", "host": "h", "operator": "somebody", "pid": 1}
    insert = "INSERT INTO stackmend_locks (cloud, run, host, operator, pid, beat) VALUES (:cloud, :run, :host, :operator, :pid, :beat)"  # noqa: E501
    sql(here, insert, {**old, "beat": ago(timedelta(minutes=14))})
    sql(here, "UPDATE stackmend_meta SET value = :one WHERE name = 'version'", {"one": "1"})
    sql(here, "DROP TABLE stackmend_leases", {"any": 1})
    with pytest.raises(LockedError, match="started by an older stackmend"):
        runs.apply(here.config, plan)
    sql(here, "UPDATE stackmend_locks SET beat = :beat", {"beat": ago(timedelta(minutes=16))})
    assert runs.apply(here.config, plan).exit is Exit.REPAIRED
