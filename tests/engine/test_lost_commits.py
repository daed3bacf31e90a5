# SPDX-License-Identifier: Apache-2.0
"""What the journal says is what the rows are, wherever the wire is cut, and whoever changes what a step rests on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support.cut_wire import PostgreSQLWire, Wire, wire

from stackmend.app import runs
from stackmend.app.session import CloudSession
from stackmend.config.settings import Config, load
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.drivers.writing.seal import Sealer
from stackmend.drivers.writing.writer import DatabaseWriter
from stackmend.engine.running.lanes import last_entries
from stackmend.model.errors import Exit
from stackmend.model.journal import JournalEntry, RunState
from stackmend.model.plan import Plan, save
from stackmend.model.step import BumpRow, ExpectNone, ExpectRow, StepState, UpdateRow
from stackmend.model.writer import Group

from ..support.damaged_cloud import Ground, made
from ..support.other_sessions import others_of

ATTRIBUTES = {"database": "neutron", "table": "standardattributes"}


def change(here: Ground, number: int = 0) -> UpdateRow:
    """Change the description of a row."""
    sql = f"SELECT id, description FROM standardattributes ORDER BY id LIMIT 1 OFFSET {number}"
    (row,) = here.cloud.rows("neutron", sql)
    old, new = row["description"], f"new {number}"
    return UpdateRow(**ATTRIBUTES, pk={"id": row["id"]}, before={"description": old}, after={"description": new})


def reads(here: Ground, step: UpdateRow) -> Any:
    """What the row reads now."""
    sql = "SELECT description FROM standardattributes WHERE id = :i"
    return here.cloud.rows("neutron", sql, {"i": step.pk["id"]})[0]["description"]


@pytest.fixture
def cut(on_server: Ground) -> Iterator[tuple[Ground, Wire, Config]]:
    """The cloud, and the writer's wire to it."""
    here, url = on_server, sa.make_url(on_server.cloud.databases["neutron"])
    assert url.port
    with wire(url.port, PostgreSQLWire if url.get_backend_name() == "postgresql" else Wire) as made_wire:
        text = here.toml.read_text(encoding="utf-8").replace(f":{url.port}/", f":{made_wire.port}/")
        file = here.folder / "wired.toml"
        file.write_text(text, encoding="utf-8")
        yield here, made_wire, load(str(file))


def same_cloud(plan: Plan, config: Config) -> Plan:
    """The plan for the cloud as that configuration names it."""
    return replace(plan, cloud=CloudSession.of(config).databases.identity)


@pytest.mark.attack("cuts the writer's connection before COMMIT arrives")
def test_a_commit_that_never_arrived_is_in_doubt_until_resumed(cut: tuple[Ground, Wire, Config]) -> None:
    """Nobody but the server can say that nothing was kept: in doubt, exit 6; resume makes it, undo takes it back."""
    here, line, config = cut
    step = change(here)
    line.cut = "before"
    result = runs.apply(config, same_cloud(made(here, [step]), config))
    assert (result.exit, result.in_doubt, result.failed) == (Exit.IN_DOUBT, 1, 0)
    assert "may still arrive" in result.notes[0]
    assert reads(here, step) == step.before["description"]
    again = runs.resume(config, result.run)
    assert (again.exit, again.done) == (Exit.REPAIRED, 1)
    assert reads(here, step) == "new 0"
    assert runs.undo(config, result.run).exit is Exit.CLEAN
    assert reads(here, step) == step.before["description"]


@pytest.mark.attack("cuts the writer's connection after COMMIT arrived, before the answer")
def test_a_commit_whose_answer_was_lost_is_found_done(cut: tuple[Ground, Wire, Config]) -> None:
    """The probe waits for the transaction that is still committing, on the writer's route."""
    here, line, config = cut
    step = change(here)
    line.cut = "after"
    result = runs.apply(config, same_cloud(made(here, [step]), config))
    assert (result.exit, result.done) == (Exit.REPAIRED, 1)
    assert (line.cuts, reads(here, step)) == (1, "new 0")
    assert runs.undo(config, result.run).exit is Exit.CLEAN


@pytest.mark.attack("cuts the connection of an undo after COMMIT arrived, and lets it go on")
def test_an_undo_counts_back_after_a_lost_answer(cut: tuple[Ground, Wire, Config]) -> None:
    """Three transactions take back a counter: what each has left is known to the next, though no answer came."""
    here, line, config = cut
    pk = {"id": change(here).pk["id"]}
    here.cloud.update("neutron", ATTRIBUTES["table"], pk, revision_number=9)
    step = BumpRow(**ATTRIBUTES, pk=pk, column="revision_number", left=9)
    databases = CloudSession.of(config, write=True).databases
    writer = DatabaseWriter(databases.addresses, databases.errors, Sealer(here.folder / "no-key"))
    values: list[Any] = []
    try:
        for number in range(3):
            line.cut = "after" if number == 1 else ""
            (verdict,) = writer.write([Group(number, "neutron", (step,), (number,))], lambda _entries: None)
            assert verdict.state is StepState.DONE
            values += [(entry.image or {})["value"] for entry in verdict.entries]
    finally:
        writer.close()
    assert line.cuts == 1
    assert values == [8, 7, 6]
    (row,) = here.cloud.rows("neutron", "SELECT revision_number AS n FROM standardattributes WHERE id = :id", pk)
    assert row["n"] == 6


@pytest.mark.attack("kills the writer's session when its COMMIT is on the way")
def test_a_session_that_is_killed_at_commit_is_in_doubt_until_resumed(cut: tuple[Ground, Wire, Config]) -> None:
    """Whatever the server says of its end: it may have committed before it said so."""
    here, line, config = cut
    step = change(here)
    line.cut, line.then = "held", others_of(here.cloud).kill
    result = runs.apply(config, same_cloud(made(here, [step]), config))
    assert (result.exit, result.in_doubt, result.failed) == (Exit.IN_DOUBT, 1, 0)
    assert reads(here, step) == step.before["description"]
    again = runs.resume(config, result.run)
    assert (again.exit, again.done, reads(here, step)) == (Exit.REPAIRED, 1, "new 0")


@pytest.mark.attack("cuts the connection at COMMIT, and the server is not reachable afterwards")
@pytest.mark.parametrize("how", ["before", "after"])
def test_what_cannot_be_asked_stays_in_doubt(cut: tuple[Ground, Wire, Config], how: str) -> None:
    """Exit 6; resume while it is away leaves it so, and settles it when the server is back."""
    here, line, config = cut
    step, port = change(here), line.to
    line.cut = how
    line.then = lambda: setattr(line, "to", 1)
    result = runs.apply(config, same_cloud(made(here, [step]), config))
    assert (result.exit, result.in_doubt) == (Exit.IN_DOUBT, 1)
    line.to = port
    again = runs.resume(config, result.run)
    assert (again.exit, again.done, reads(here, step)) == (Exit.REPAIRED, 1, "new 0")


# -- guards in another database


def guarded(here: Ground, *, absent: bool) -> tuple[str, list[Any]]:
    """A change in Neutron that rests on Nova: a server is deleted, or is not there; and how it comes to life."""
    server = here.cloud.pick("deleted")
    (row,) = here.cloud.rows(server.database, "SELECT id, deleted FROM instances WHERE uuid = :u", {"u": server.uuid})
    where = {"database": server.database, "table": "instances"}
    guard: ExpectRow | ExpectNone = ExpectRow(**where, pk={"id": row["id"]}, expect={"deleted": row["deleted"]})
    if absent:
        guard = ExpectNone(**where, where={"uuid": server.uuid, "deleted": 0})
    return server.uuid, [guard, change(here)]


class Meddling(DatabaseJournal):
    """A journal during whose writing somebody does something, at the intent: rows are locked, nothing is written."""

    deed: Callable[[], None]

    def note(self, run: str, entries: Any) -> None:
        """Do it once, before the first intent."""
        super().note(run, entries)
        if any(entry.state is StepState.INTENT for entry in entries):
            deed, type(self).deed = type(self).deed, lambda: None
            deed()


def revive(here: Ground, uuid: str) -> None:
    """The server comes to life."""
    here.cloud.execute("cell:cell1", "UPDATE instances SET deleted = 0 WHERE uuid = :u", {"u": uuid})


@pytest.mark.attack("brings a server to life between the look at it and the commit in another database")
@pytest.mark.parametrize("absent", [True, False])
def test_a_server_that_comes_to_life_meanwhile_keeps_its_port(on_server: Ground, absent: bool) -> None:
    """It waits for our commit, for its row (or its absence) is locked; then the look after it takes all back."""
    here = on_server
    uuid, steps = guarded(here, absent=absent)
    step = steps[-1]
    began = threading.Event()

    def theirs() -> None:
        began.set()
        revive(here, uuid)

    thread = threading.Thread(target=theirs)

    def deed() -> None:
        thread.start()
        assert began.wait(5)
        time.sleep(0.3)
        assert thread.is_alive(), "nothing has locked the row"

    Meddling.deed = deed
    result = runs.apply(here.config, made(here, steps), make_journal=Meddling)
    thread.join(30)
    # it has waited for us; the look after the commit may see it already
    assert result.exit in (Exit.REPAIRED, Exit.STOPPED)
    assert (result.exit is Exit.STOPPED) is ("undone by run" in "".join(result.notes))
    assert (result.exit is Exit.STOPPED) is (reads(here, step) == step.before["description"])
    assert journal_is_true(here, result.run, step)


def journal_is_true(here: Ground, run: str, step: UpdateRow) -> bool:
    """Whether the last entry of the step says what the row reads."""
    with here.journal() as journal:
        last: dict[int, JournalEntry] = last_entries(journal.entries(run))
    done = last[1].state is StepState.DONE
    return (reads(here, step) == step.after["description"]) is done


@pytest.mark.attack("brings a server to life before the commit, where no lock can hold it")
def test_the_last_look_before_the_commit(on_sqlite: Ground) -> None:
    """Files have no locks on rows: it is seen right before the commit, and nothing is written."""
    here = on_sqlite
    uuid, steps = guarded(here, absent=False)
    before_nova = here.cloud.dump()
    Meddling.deed = lambda: revive(here, uuid)
    result = runs.apply(here.config, made(here, steps), make_journal=Meddling)
    assert (result.exit, result.stale, result.steps) == (Exit.STOPPED, 1, 0)
    assert "instances.deleted no longer matches the plan" in result.notes[0]
    assert reads(here, steps[-1]) == steps[-1].before["description"]
    assert here.cloud.dump() != before_nova
    assert journal_is_true(here, result.run, steps[-1])


@pytest.mark.attack("kills the run between its COMMIT and its second look, and brings a server to life")
@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize("absent", [True, False])
def test_a_run_that_died_after_its_commit_looks_again(on_sqlite: Ground, absent: bool, lives: bool) -> None:
    """Resumed, it looks at what the group rested on, and takes it back where that no longer holds; else it is done."""
    here = on_sqlite
    uuid, steps = guarded(here, absent=absent)
    other = change(here, 5)
    file = here.folder / "guarded.json"
    save(made(here, steps, [other]), file)
    assert here.run("apply", file, deadly=4)["writes"] == ["lock", "begin", "note intent", "note done"]
    assert reads(here, steps[-1]) == steps[-1].after["description"]
    if lives:
        revive(here, uuid)
    record = here.last()
    assert record is not None
    result = runs.resume(here.config, record.id)
    assert (result.exit, result.stale) == ((Exit.STOPPED, 1) if lives else (Exit.REPAIRED, 0)), result.notes
    assert ("undone by run" in "".join(result.notes)) is lives
    assert reads(here, steps[-1]) == (steps[-1].before if lives else steps[-1].after)["description"]
    assert reads(here, other) == other.after["description"]
    assert journal_is_true(here, record.id, steps[-1])


@pytest.mark.attack("takes the locks on guards away and brings a server to life at the very commit")
@pytest.mark.parametrize("absent", [True, False])
def test_the_look_after_the_commit_takes_it_back(cut: tuple[Ground, Wire, Config], absent: bool) -> None:
    """An undo of just that action is journalled at once, exit 5, its row reads as before; the other action stays."""
    here, line, config = cut
    uuid, steps = guarded(here, absent=absent)
    other = change(here, 5)
    plan = same_cloud(made(here, steps, [other]), config)
    before = here.cloud.dump()
    line.cut, line.then = "held", lambda: unlocked(here, uuid)
    result = runs.apply(config, plan)
    assert (result.exit, result.done, result.stale) == (Exit.STOPPED, 1, 1), result.notes
    assert "undone by run" in result.notes[0]
    assert (reads(here, steps[-1]), reads(here, other)) == (steps[-1].before["description"], "new 5")
    assert journal_is_true(here, result.run, steps[-1])
    with here.journal() as journal:
        (back,) = [run for run in journal.runs() if run.undoes == result.run]
        assert (back.state, journal.run(result.run).state) == (RunState.DONE, RunState.STOPPED)
    assert runs.resume(config, result.run).steps == 1
    assert reads(here, steps[-1]) == steps[-1].before["description"]
    assert runs.undo(config, result.run).exit is Exit.CLEAN
    changed = {key for key, rows in here.cloud.dump().items() if rows != before[key]}
    assert changed == {("cell:cell1", "instances")}


def unlocked(here: Ground, uuid: str) -> None:
    """Every other transaction loses its connection and so its locks, as in a cluster; then the server lives."""
    if here.cloud.databases["neutron"].startswith("postgresql"):
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname <> :d"
        here.cloud.rows("neutron", sql, {"d": sa.make_url(here.cloud.databases["neutron"]).database})
    else:
        sql = "SELECT trx_mysql_thread_id AS id FROM information_schema.innodb_trx WHERE trx_rows_modified = 0"
        for row in here.cloud.rows("neutron", sql):
            here.cloud.execute("neutron", f"KILL {row['id']}")
    time.sleep(0.2)
    revive(here, uuid)
