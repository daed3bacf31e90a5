# SPDX-License-Identifier: Apache-2.0
"""Plan files and journals that version 0.1 wrote are read, and written again as they are (docs/adr/0042)."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.errors import JournalError, PlanFileError
from stackmend.model.journal import RunState
from stackmend.model.plan import canonical, from_json, load, save, step_dict, to_json
from stackmend.model.step import STEP_TYPES, StepState

GOLDEN = Path(__file__).parent / "golden"
PLAN, JOURNAL = GOLDEN / "plan-0.1.json", GOLDEN / "journal-0.1.sql"
RUN = "20261129-030000-beef"
OTHERS = (None, 5, 1.5, True, "x", [], [1], {}, {"a": 1})


def test_a_plan_file_of_version_0_1_is_read_and_written_byte_for_byte(tmp_path: Path) -> None:
    """Steps of every kind, values of every type; its hash is the one that was signed off."""
    plan = load(PLAN)
    assert {step.kind for action in plan.actions for step in action.steps} == set(STEP_TYPES)
    assert plan.sha256 == json.loads(PLAN.read_text(encoding="utf-8"))["sha256"]
    save(plan, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == PLAN.read_bytes()


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Callable[..., DatabaseJournal]]:
    """The journal of version 0.1, after some statements."""
    journals: list[DatabaseJournal] = []

    def opened(*statements: str) -> DatabaseJournal:
        path = tmp_path / "journal.db"
        with sqlite3.connect(path) as connection:
            connection.executescript(JOURNAL.read_text(encoding="utf-8"))
            for statement in statements:
                connection.execute(statement)
        connection.close()
        journals.append(DatabaseJournal(f"sqlite:///{path}"))
        return journals[-1]

    yield opened
    for journal in journals:
        journal.close()


TO_VERSION_1 = ("DROP TABLE stackmend_leases", "UPDATE stackmend_meta SET value = '1' WHERE name = 'version'")


@pytest.mark.parametrize("older", [(), TO_VERSION_1], ids=["version 2", "version 1"])
def test_a_journal_of_version_0_1_is_read(stored: Callable[..., DatabaseJournal], older: tuple[str, ...]) -> None:
    """Runs, actions, steps, entries with what undo needs, remarks, findings and waivers."""
    journal, plan = stored(*older), load(PLAN)
    run = journal.run(RUN)
    assert (run.plan, run.sha256, run.state, run.limits) == (plan.id, plan.sha256, RunState.STOPPED, plan.limits)
    actions = journal.actions(RUN)
    assert tuple(actions) == plan.actions
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(JOURNAL.read_text(encoding="utf-8"))
        written = [data for (data,) in connection.execute("SELECT data FROM stackmend_steps ORDER BY number")]
    assert [to_json(step_dict(step)) for action in actions for step in action.steps] == written
    entries = journal.entries(RUN)
    assert [(entry.step, entry.state) for entry in entries][-1] == (7, StepState.FAILED)
    assert entries[2].image == {"row": {"id": "v", "b": b"\x01"}, "sealed": "abc"}
    assert [remark.text for remark in journal.remarks(RUN)] == ["it was told to stop"]
    assert {name: bool(known.gone) for name, known in journal.remembered("cloud").items()} == {"f1": False, "f2": True}
    assert [waiver.id for waiver in journal.waivers("cloud")] == ["w1"]


CORRUPT = {
    "limits cut off": "UPDATE stackmend_runs SET limits = substr(limits, 1, 20)",
    "limits of later": """UPDATE stackmend_runs SET limits = '{"max_rows": 1, "max_hours": 2}'""",
    "a state of later": "UPDATE stackmend_runs SET state = 'asleep'",
    "an action cut off": "UPDATE stackmend_actions SET data = substr(data, 1, 50)",
    "an action that is none": "UPDATE stackmend_actions SET data = '[]'",
    "a step cut off": "UPDATE stackmend_steps SET data = substr(data, 1, 30)",
    "a step of later": """UPDATE stackmend_steps SET data = '{"kind": "pray"}'""",
    "a step without its table": """UPDATE stackmend_steps SET data = '{"kind": "update", "database": "x"}'""",
    "an image cut off": "UPDATE stackmend_entries SET image = '{' WHERE image IS NOT NULL",
    "an outcome of later": "UPDATE stackmend_entries SET state = 'guessed'",
}


@pytest.mark.attack("damages records of the journal")
@pytest.mark.parametrize("damage", CORRUPT.values(), ids=CORRUPT)
def test_a_damaged_journal_is_named(stored: Callable[..., DatabaseJournal], damage: str) -> None:
    """What cannot be read is an error with the journal's name and a way out, and not a traceback."""
    journal, said = stored(damage), list[JournalError]()
    for read in (journal.runs, partial(journal.actions, RUN), partial(journal.entries, RUN)):
        try:
            read()
        except JournalError as problem:
            said.append(problem)
    assert len(said) == 1
    assert re.search(r"journal.*journal\.db contains .* that this version of stackmend cannot read", said[0].message)
    assert said[0].hint


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a document, those in it after it."""
    yield path
    for name, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(one, (*path, name))


@pytest.mark.attack("puts a value of another type at every place of a plan, and makes its hash anew")
def test_a_plan_with_a_value_of_another_type_is_refused_or_whole(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What is read can be hashed and written again; all else is a plan that this stackmend does not know."""
    document, path, tries = from_json(PLAN.read_bytes()), tmp_path / "plan.json", 0
    for number, place in enumerate([*_places(document["plan"])][1:]):
        for value in (OTHERS[number % len(OTHERS)], OTHERS[(2 * number + 1) % len(OTHERS)]):
            forged = from_json(PLAN.read_bytes())
            inside = forged["plan"]
            for name in place[:-1]:
                inside = inside[name]
            inside[place[-1]] = value
            forged["sha256"] = hashlib.sha256(canonical(forged["plan"])).hexdigest()
            path.write_text(to_json(forged), encoding="utf-8")
            tries += 1
            try:
                plan = load(path)
            except PlanFileError:
                continue
            assert hashlib.sha256(canonical(plan.as_dict())).hexdigest() == plan.sha256
            fields = {
                type(one) for one in (plan.id, plan.created_at, plan.cloud, plan.version, plan.workflow, plan.now)
            }
            assert fields == {str}, place
            for left in (*plan.deferred, *plan.not_repaired):
                assert {type(left.message), type(left.reason), type(left.check)} == {str}, place
            assert type(plan.limits.max_rows) is int, place
    record_property("tries", tries)
