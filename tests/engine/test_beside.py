# SPDX-License-Identifier: Apache-2.0
"""Lanes whose calls go side by side: limits, slots, gates, required lanes; and after failures and kills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.engine.auditing.confirm import Confirmed
from stackmend.engine.running import resume as resuming
from stackmend.engine.running.gates import GateExecutor
from stackmend.engine.running.lanes import lanes
from stackmend.engine.running.runner import Runner, Tools
from stackmend.model.errors import Exit
from stackmend.model.journal import RunRecord, RunResult, RunState
from stackmend.model.operations import Foreign
from stackmend.model.plan import Action, Limits
from stackmend.model.step import ApiCall, CallStep, Gate, Risk, Step, StepState
from stackmend.model.writer import Group, GroupResult, Pending, StepResult


class HandClock:
    """Time that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class NoRows:
    """A writer for plans without rows."""

    def write(self, groups: Sequence[Group], intent: object) -> list[GroupResult]:
        raise AssertionError("there are no rows here")

    def probe(self, groups: Sequence[Group], images: object) -> list[GroupResult]:
        raise AssertionError("there are no rows here")

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Trips:
    """An executor of calls that take 10 seconds each; it keeps what was under way at the same time, and the order.

    An operation "fails" comes to nothing; what was begun once is under way or done, whoever asks.
    """

    clock: HandClock
    begun: dict[str, datetime] = field(default_factory=dict)
    under_way: set[str] = field(default_factory=set)
    most: int = 0
    together: list[frozenset[str]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def begin(self, step: CallStep, mark: str) -> StepResult | Pending:
        assert isinstance(step, ApiCall)
        name = str(step.arguments["name"])
        state = self.probe(step)
        if state is StepState.DONE:
            return StepResult(StepState.DONE, "already done", already=True)
        if state is StepState.PLANNED:
            self.begun[name] = self.clock.now()
            self.sent.append(name)
        self.under_way.add(name)
        self.most = max(self.most, len(self.under_way))
        self.together.append(frozenset(self.under_way))
        return Pending(self.clock.now() + timedelta(seconds=1), f"{name} is on its way", step)

    def go_on(self, pending: Pending) -> StepResult | Pending:
        name = str(pending.state.arguments["name"])
        if self.clock.now() < self.begun[name] + timedelta(seconds=10):
            return Pending(self.clock.now() + timedelta(seconds=1), f"{name} is on its way", pending.state)
        self.under_way.discard(name)
        if pending.state.name == "fails":
            return StepResult(StepState.FAILED, f"{name} came to nothing")
        return StepResult(StepState.DONE, "arrived")

    def probe(self, step: CallStep) -> StepState:
        assert isinstance(step, ApiCall)
        begun = self.begun.get(str(step.arguments["name"]))
        if begun is None:
            return StepState.PLANNED
        over = self.clock.now() >= begun + timedelta(seconds=10)
        return StepState.DONE if over and step.name != "fails" else StepState.INTENT


def trip(name: str, operation: str = "goes") -> ApiCall:
    """A call, of which the executor here knows what becomes of it."""
    return Foreign(service="compute", name=operation, given={"name": name}, why="it is none").call()


def action(number: int, *steps: Step, **more: object) -> Action:
    """A lane of a workflow."""
    values = {
        "id": f"a{number}", "check": "", "key": {}, "fingerprint": "", "resource_type": "server",
        "resource_id": f"s{number}", "message": "moves", "target": {}, "repair": "drain-host", "strategy": "api",
        "risk": Risk.SAFE, "stage": 0, "steps": steps,
    }  # fmt: skip
    return Action(**values | more)  # type: ignore[arg-type]


@dataclass
class Desk:
    """A journal, a clock, and runs over them."""

    journal: DatabaseJournal
    clock: HandClock
    trips: Trips
    seen: list[int] = field(default_factory=list)

    def tools(self, *acknowledged: str) -> Tools:
        return Tools(
            journal=self.journal,
            writer=NoRows(),  # type: ignore[arg-type]
            ask=lambda _: Confirmed(),
            progress=lambda *_: None,
            executors={"api": self.trips, "gate": GateExecutor(acknowledged)},
            clock=self.clock,
            watch=lambda _, moving: self.seen.append(len(moving)),
        )

    def run(self, actions: Sequence[Action], limits: Limits, name: str = "r1") -> RunResult:
        record = RunRecord(
            id=name, kind="apply", plan="p", sha256="", cloud="c", version="", operator="", host="", pid=1,
            created_at="2026-11-21T03:00:00+00:00", limits=limits,
        )  # fmt: skip
        self.journal.begin(record, actions)
        return Runner(self.tools(), record, lanes(actions)).run(checked=True)

    def resume(self, *acknowledged: str, name: str = "r1") -> RunResult:
        tools, record = self.tools(*acknowledged), self.journal.run(name)
        entries = self.journal.entries(name)
        found = resuming.restored(self.journal.actions(name), entries)
        resuming.probe(tools, record, found)
        last = max((entry.batch for entry in entries), default=0)
        return Runner(tools, record, found, batches=last).run(checked=True)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with an empty journal."""
    clock = HandClock()
    journal = DatabaseJournal(f"sqlite:///{tmp_path / 'journal.db'}")
    yield Desk(journal, clock, Trips(clock))
    journal.close()


def test_no_more_than_the_limit_are_under_way(desk: Desk) -> None:
    """Six calls of ten seconds, three at a time, take twenty seconds; each is made once."""
    began = desk.clock.now()
    result = desk.run([action(n, trip(f"s{n}")) for n in range(6)], Limits(parallel=3))
    assert (result.done, result.exit) == (6, Exit.REPAIRED)
    assert desk.trips.most == 3
    assert (desk.clock.now() - began).total_seconds() == 20
    assert sorted(desk.trips.sent) == [f"s{n}" for n in range(6)]
    assert max(desk.seen) == 3


def test_one_at_a_time_unless_told_otherwise(desk: Desk) -> None:
    """The limit of plans that say nothing is one, in the order of the plan."""
    assert desk.run([action(n, trip(f"s{n}")) for n in range(3)], Limits()).done == 3
    assert (desk.trips.most, desk.trips.sent) == (1, ["s0", "s1", "s2"])


def test_a_slot_is_shared_by_so_many(desk: Desk) -> None:
    """Of four to c02 two go at a time; those to c03 do not wait for them."""
    to = [action(n, trip(f"to2-{n}"), slots=("to:c02",)) for n in range(4)]
    more = [action(9, trip("to3"), slots=("to:c03",))]
    result = desk.run([*to, *more], Limits(parallel=10, per_slot=2))
    assert result.done == 5
    assert max(sum(name.startswith("to2") for name in some) for some in desk.trips.together) == 2
    assert desk.trips.sent[:3] == ["to2-0", "to2-1", "to3"]


def test_the_steps_of_a_lane_keep_their_order(desk: Desk) -> None:
    """The second call of a lane is begun when the first is over, whatever the others do."""
    result = desk.run([action(1, trip("a"), trip("b")), action(2, trip("c"))], Limits(parallel=5))
    assert result.done == 2
    assert desk.trips.sent == ["a", "c", "b"]
    assert not any({"a", "b"} <= some for some in desk.trips.together)


def test_after_a_required_lane_that_failed_nothing_later_is_begun(desk: Desk) -> None:
    """A host that could not be disabled is not drained."""
    actions = [action(1, trip("disable", "fails"), required=True), action(2, trip("s1"), stage=1)]
    result = desk.run(actions, Limits(parallel=2))
    assert (result.failed, result.left, result.exit) == (1, 1, Exit.STOPPED)
    assert desk.trips.sent == ["disable"]
    assert any("the stages after a1" in note for note in result.notes)


def test_too_many_failures_begin_nothing_new_but_see_the_rest_to_its_end(desk: Desk) -> None:
    """A call that is under way when the run gives up has an outcome in the journal all the same."""
    actions = [action(1, trip("bad", "fails")), action(2, trip("good")), action(3, trip("never"))]
    result = desk.run(actions, Limits(parallel=2, max_failures=0))
    assert (result.failed, result.done, result.left) == (1, 1, 1)
    assert desk.trips.sent == ["bad", "good"]
    states = {entry.step: entry.state for entry in desk.journal.entries("r1")}
    assert states == {0: StepState.FAILED, 1: StepState.DONE}


def test_a_gate_holds_until_it_is_acknowledged(desk: Desk) -> None:
    """Nobody is there: the run stops with its name, and resumed with it goes on; what was done is not done again."""
    gate = Gate(name="disabled", text="the host is disabled")
    actions = [action(1, trip("disable"), gate, required=True), action(2, trip("s1"), stage=1)]
    held = desk.run(actions, Limits())
    assert (held.held, held.left, held.exit) == (("disabled",), 2, Exit.STOPPED)
    assert desk.resume().held == ("disabled",)
    result = desk.resume("disabled")
    assert (result.done, result.held, result.exit) == (2, (), Exit.REPAIRED)
    assert desk.trips.sent == ["disable", "s1"]
    assert desk.journal.run("r1").state is RunState.DONE


class Killed(BaseException):
    """What a kill looks like from inside."""


@pytest.mark.parametrize("after", range(1, 14))
def test_killed_anywhere_and_resumed_nothing_is_sent_twice(desk: Desk, after: int) -> None:
    """Whatever the journal wrote last, each call is made once, and those under way are waited for side by side."""
    left = after

    def note(run: str, entries: Sequence[object]) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        write(run, entries)  # type: ignore[arg-type]

    write = desk.journal.note
    actions = [action(n, trip(f"s{n}"), trip(f"t{n}")) for n in range(3)]
    dying = replace(desk, journal=_Dying(desk.journal, note))  # type: ignore[arg-type]
    try:
        dying.run(actions, Limits(parallel=2))
    except Killed:
        result = desk.resume()
        assert result.done == 3
    assert sorted(desk.trips.sent) == [f"s{n}" for n in range(3)] + [f"t{n}" for n in range(3)]


class _Dying:
    """A journal whose ``note`` is another."""

    def __init__(self, inner: DatabaseJournal, note: object) -> None:
        self._inner, self.note = inner, note

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_a_call_that_is_over_at_once_lets_those_behind_it_go(desk: Desk) -> None:
    """A lane that finds its work done when its slot is free has not used it up: the next one does not wait forever."""
    desk.trips.begun["b"] = desk.clock.now() - timedelta(seconds=60)
    result = desk.run([action(n, trip(name), slots=("to:c02",)) for n, name in enumerate("abc")], Limits(parallel=3,
                      per_slot=1))  # fmt: skip
    assert (result.done, result.already) == (3, 1)
    assert desk.trips.sent == ["a", "c"]
