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
from stackmend.model.errors import Exit
from stackmend.model.journal import RunState
from stackmend_lab.mariadb import MariaDB

from ..support.damaged_cloud import Ground, Mortal, damaged, ground, unasked

Dump = dict[tuple[str, str], list[str]]
#: of the moments at which a run can die, so many are left out where it takes long
EVERY = {"sqlite": 1, "mariadb": 7}


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


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def land(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mortal: Mortal
) -> Iterator[Landscape]:
    """One for each kind of database."""
    folder: Path = tmp_path_factory.mktemp("killed")
    server: MariaDB | None = request.getfixturevalue("mariadb") if request.param == "mariadb" else None
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
