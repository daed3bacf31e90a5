# SPDX-License-Identifier: Apache-2.0
"""A run that is killed at any moment is taken up again, and ends as if nothing had happened.

The process dies by SIGKILL at each single write to its journal: between two of them lies everything else it does, among
it the commits. What is planned is fixed to the byte, times included, so that the rows can be compared.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import plans
from stackmend.engine.running.lanes import last_entries
from stackmend.model.errors import Exit
from stackmend.model.journal import RunState
from stackmend.model.step import BumpRow, StepState

from ..support.damaged_cloud import Ground, Mortal, damaged, ground, unasked

Dump = dict[tuple[str, str], list[str]]
#: of the moments at which a run can die, so many are left out where it takes long
EVERY = {"sqlite": 1, "mariadb": 7, "postgresql": 29}


class Landscape:
    """A damaged cloud, its plan, and what it looks like before and after an undisturbed run."""

    def __init__(self, here: Ground, every: int) -> None:
        self.here, self.every = here, every
        self.whole = damaged(here)
        self.file = here.folder / "plan.json"
        plans.save(unasked(self.whole), self.file)
        here.fresh()
        self.planted: Dump = here.cloud.dump()
        done = here.run("apply", self.file)
        assert done["result"]["exit"] == Exit.REPAIRED
        assert done["result"]["done"] == len(self.whole.runnable)
        self.writes: list[str] = done["writes"]
        self.mended: Dump = here.cloud.dump()

    def moments(self, writes: list[str]) -> list[tuple[int, str]]:
        """Every state in which a run can die; on a slow database a part of them.

        Those are: before each write, after each intent (the commit is between it and the outcome), after the last
        write. After any other write everything is as it is before the next one.
        """
        found = []
        for number, name in enumerate(writes, 1):
            found.append((number, "before"))
            if name == "note intent" or number == len(writes):
                found.append((number, "after"))
        return found[:: self.every]

    def repaired(self) -> str:
        """The cloud and the journal as an undisturbed run leaves them; the run."""
        self.here.fresh()
        result = self.here.run("apply", self.file)["result"]
        assert result["exit"] == Exit.REPAIRED
        return str(result["run"])


@pytest.fixture(scope="module", params=list(EVERY))
def land(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mortal: Mortal
) -> Iterator[Landscape]:
    """One for each kind of database."""
    folder: Path = tmp_path_factory.mktemp("killed")
    server = None if request.param == "sqlite" else request.getfixturevalue(request.param)
    prefix = {"prefix": "killed_"} if server else {}
    with ground(server, folder, mortal, **prefix) as here:
        yield Landscape(here, EVERY[request.param])


def taken_up(land: Landscape, died: dict[str, Any]) -> dict[str, Any]:
    """Resume the newest run; where not even that was written down, begin again."""
    assert died["signal"] == signal.SIGKILL
    here, run = land.here, land.here.last()
    again = here.run("resume", run.id) if run else here.run("apply", land.file)
    assert again["error"] is None
    return dict(again["result"])


def test_the_plan_has_steps_of_every_kind(land: Landscape) -> None:
    """What is tried here is worth it: every kind of step, guards, several databases in one action, shared batches."""
    plan = land.whole
    kinds = {step.kind for action in plan.runnable for step in action.steps}
    assert kinds >= {"update", "insert", "delete", "bump", "expect", "expect-none"}
    writing = [{s.database for s in a.steps if s.kind in ("update", "insert", "delete", "bump")} for a in plan.runnable]
    assert max(map(len, writing)) >= 2
    assert len(set().union(*writing)) >= 6
    assert {action.stage for action in plan.runnable} == {0, 1, 2, 3}
    assert land.writes.count("note intent") < len(plan.runnable) + 4


def test_killed_at_any_write_and_resumed(land: Landscape) -> None:
    """Wherever it dies, a resume ends with the very rows of an undisturbed run, and undo with those before it."""
    here = land.here
    for number, when in land.moments(land.writes):
        here.fresh()
        died = here.run("apply", land.file, deadly=number, when=when)
        result = taken_up(land, died)
        assert (result["stale"], result["failed"], result["in_doubt"], result["left"]) == (0, 0, 0, 0), (number, when)
        assert result["done"] == len(land.whole.runnable)
        assert here.cloud.dump() == land.mended, (number, when)
        run = here.last()
        assert run is not None
        assert run.state is RunState.DONE
        back = here.run("undo", run.id)
        assert back["result"]["exit"] == Exit.CLEAN, (number, when, back)
        assert here.cloud.dump() == land.planted, (number, when)


def test_killed_at_any_write_of_an_undo(land: Landscape) -> None:
    """An undo is a run like any other: wherever it dies, a resume gives the rest of the rows back."""
    here = land.here
    first = land.repaired()
    whole = here.run("undo", first)
    assert here.cloud.dump() == land.planted
    assert here.run("undo", first)["result"]["steps"] == 0
    for number, when in land.moments(whole["writes"]):
        first = land.repaired()
        died = here.run("undo", first, deadly=number, when=when)
        assert died["signal"] == signal.SIGKILL
        run = here.last()
        assert run is not None
        again = here.run("undo" if run.id == first else "resume", run.id)
        assert again["result"]["exit"] == Exit.CLEAN, (number, when, again)
        assert here.cloud.dump() == land.planted, (number, when)


def test_an_undo_whose_commit_was_not_noted_knows_its_counters(land: Landscape) -> None:
    """The resume records what the undo left in each counter, not what counting on would have left."""
    here = land.here
    first = land.repaired()
    writes = here.run("undo", first)["writes"]
    # the commit is between an intent and the next write
    deaths = [number + 1 for number, name in enumerate(writes, 1) if name == "note intent"]
    seen = 0
    for number in deaths:
        first = land.repaired()
        assert here.run("undo", first, deadly=number, when="before")["signal"] == signal.SIGKILL
        run = here.last()
        assert run is not None
        assert here.run("resume", run.id)["result"]["exit"] == Exit.CLEAN
        with here.journal() as journal:
            last = last_entries(journal.entries(run.id))
            steps = [step for action in journal.actions(run.id) for step in action.steps]
        lowest: dict[tuple[str, str, str], tuple[int, BumpRow]] = {}
        for step, entry in ((steps[n], entry) for n, entry in last.items()):
            if isinstance(step, BumpRow) and step.left is not None and entry.state is StepState.DONE and entry.image:
                spot, value = (step.database, step.table, str(step.pk)), int(entry.image["value"])
                lowest[spot] = min(lowest.get(spot, (value, step)), (value, step), key=lambda pair: pair[0])
        for value, step in lowest.values():
            where = " AND ".join(f"{column} = :{column}" for column in step.pk)
            sql = f"SELECT {here.cloud.quoted(step.column)} AS n FROM {here.cloud.quoted(step.table)} WHERE {where}"
            assert [row["n"] for row in here.cloud.rows(step.database, sql, step.pk)] == [value], (number, step)
            seen += 1
    assert seen > 0


def test_killed_twice(land: Landscape) -> None:
    """The resume is killed as well, in the middle, and the one after it: the third ends it."""
    here = land.here
    middle = len(land.writes) // 2
    here.fresh()
    assert here.run("apply", land.file, deadly=middle, when="after")["signal"] == signal.SIGKILL
    run = here.last()
    assert run is not None
    for deadly in (4, 5):
        assert here.run("resume", run.id, deadly=deadly, when="before")["signal"] == signal.SIGKILL
    assert here.run("resume", run.id)["result"]["in_doubt"] == 0
    assert here.cloud.dump() == land.mended


def test_killed_with_checks_to_ask(land: Landscape) -> None:
    """The plan as an audit made it: after kill and resume the checks find nothing any more."""
    here = land.here
    here.fresh()
    file = here.folder / "asked.json"
    plans.save(land.whole, file)
    middle = len(land.writes) // 2
    assert here.run("apply", file, deadly=middle, when="after")["signal"] == signal.SIGKILL
    run = here.last()
    assert run is not None
    result = here.run("resume", run.id)["result"]
    assert (result["exit"], result["remaining"], result["done"]) == (Exit.REPAIRED, [], len(land.whole.runnable))
    assert here.found() == []
    assert here.cloud.dump() == land.mended
    assert here.run("undo", run.id)["result"]["exit"] == Exit.CLEAN
    assert here.cloud.dump() == land.planted
