# SPDX-License-Identifier: Apache-2.0
"""Workflows on a simulated cloud: the real planner, runner, executor and operations, and runs that die."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.operations import describe, waits
from stackmend.drivers.api.reading import ApiReading
from stackmend.engine.auditing.confirm import Confirmed
from stackmend.engine.planning import workflow_planner
from stackmend.engine.running import resume as resuming
from stackmend.engine.running import undo
from stackmend.engine.running.gates import GateExecutor
from stackmend.engine.running.lanes import lanes
from stackmend.engine.running.runner import Runner, Tools
from stackmend.model.journal import JournalEntry, RunRecord, RunResult, RunState
from stackmend.model.plan import Action, Limits, Plan
from stackmend.model.protocols import Clock, Executor, Hosts
from stackmend.model.workflow import Sight
from stackmend.model.writer import Group, GroupResult
from stackmend_lab.simulated import Cloud


class Killed(BaseException):
    """A kill, as seen from inside."""


class NoRows:
    """A writer for plans without row steps."""

    def write(self, groups: Sequence[Group], intent: object) -> list[GroupResult]:
        raise AssertionError("there are no rows here")

    def probe(self, groups: Sequence[Group], images: object) -> list[GroupResult]:
        raise AssertionError("there are no rows here")

    def close(self) -> None:
        """Nothing needs to be closed."""


@dataclass
class MemoryJournal:
    """A journal in memory. test_the_journal_makes_no_difference compares it with the real one."""

    records: dict[str, RunRecord] = field(default_factory=dict)
    planned: dict[str, Sequence[Action]] = field(default_factory=dict)
    noted: dict[str, list[JournalEntry]] = field(default_factory=dict)

    def begin(self, run: RunRecord, actions: Sequence[Action]) -> None:
        self.records[run.id], self.planned[run.id], self.noted[run.id] = run, actions, []

    def note(self, run: str, entries: Sequence[JournalEntry]) -> None:
        self.noted[run] += entries

    def end(self, run: str, state: RunState) -> None:
        """Not used here."""

    def remark(self, run: str, text: str) -> None:
        """Not used here."""

    def actions(self, run: str) -> Sequence[Action]:
        return self.planned[run]

    def entries(self, run: str) -> list[JournalEntry]:
        return list(self.noted[run])


class Dying:
    """A journal, one write to which is the last thing its process does: before it, or after it."""

    def __init__(self, inner: Any, write: int, after: bool) -> None:
        self._inner, self._left, self._after = inner, write, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def note(self, run: str, entries: Sequence[JournalEntry]) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        self._inner.note(run, entries)
        if self._left == 0:
            raise Killed


@dataclass
class Drill:
    """One operator at one cloud. ``hosts``, ``hook``: access to its hosts, if any."""

    cloud: Cloud
    journal: Any = field(default_factory=MemoryJournal)
    limits: Limits = field(default_factory=lambda: Limits(parallel=8, max_failures=1000))
    findings: dict[str, list[str]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    hosts: Hosts | None = None
    hook: Executor | None = None
    pace: Clock | None = None  #: for processes that need real time; else the cloud's clock
    #: prefix of its runs' ids. Commands on this machine are found by it, so it must be unique there
    name: str = "r"
    runs: int = 0

    @property
    def first(self) -> str:
        """Its first run."""
        return f"{self.name}1"

    @property
    def clock(self) -> Clock:
        """The time of its runs."""
        return self.pace or self.cloud.clock

    def plan(self, workflow: str, arguments: Mapping[str, Any], *, gates: bool = False) -> Plan:
        """Make the plan of a workflow, without databases."""
        sight = Sight(
            api=ApiReading(self.cloud, self.clock), live=None, hosts=self.hosts, now=self.clock.now().isoformat(),
            settings=self.settings, findings=self.findings,
        )  # fmt: skip
        return workflow_planner.plan(
            workflow_planner.workflow_of(workflow), arguments, sight, cloud=self.cloud.name, limits=self.limits,
            gates=gates, describe=describe, waits=waits,
        )  # fmt: skip

    def apply(self, plan: Plan, *, dies: tuple[int, bool] | None = None) -> RunResult:
        """Run it. ``dies``: (number of the write to the journal, whether after it): then :class:`Killed` is raised."""
        return self._begin(plan.id, plan.runnable, dies, checked=True)

    def undo(self) -> RunResult:
        """Undo the first run."""
        actions, _ = undo.inverse(
            self.journal.actions(self.first), self.journal.entries(self.first), frozenset(), describe
        )
        return self._begin(self.first, actions, None, checked=False)

    def resume(self, plan: Plan, *, dies: tuple[int, bool] | None = None) -> RunResult:
        """Do what ``run resume`` does in another process."""
        record = self._record(f"{self.name}{self.runs}", plan.id)
        entries = self.journal.entries(record.id)
        found = resuming.restored(self.journal.actions(record.id), entries)
        tools = self._tools(Dying(self.journal, *dies) if dies else self.journal)
        resuming.probe(tools, record, found)
        last = max((entry.batch for entry in entries), default=0)
        return Runner(tools, record, found, batches=last).run(checked=True)

    def through(self, plan: Plan, random: Random, deaths: int) -> RunResult:
        """Run it to its end despite kills; between two processes some time passes."""
        go_on: Callable[..., RunResult] = self.apply
        for _ in range(deaths):
            try:
                return go_on(plan, dies=(random.randint(1, 2 * len(plan.runnable) + 4), random.random() < 0.5))
            except Killed:
                self.cloud.clock.sleep(random.choice((0.0, 1.0, 20.0, 200.0)))
                go_on = self.resume
        return go_on(plan)

    def _begin(
        self, plan: str, actions: Sequence[Action], dies: tuple[int, bool] | None, *, checked: bool
    ) -> RunResult:
        self.runs += 1
        record = self._record(f"{self.name}{self.runs}", plan)
        self.journal.begin(record, actions)
        journal = Dying(self.journal, *dies) if dies else self.journal
        return Runner(self._tools(journal), record, lanes(actions)).run(checked=checked)

    def _record(self, name: str, plan: str) -> RunRecord:
        return RunRecord(
            id=name, kind="apply", plan=plan, sha256="", cloud=self.cloud.name, version="", operator="", host="", pid=1,
            created_at=self.clock.now().isoformat(), limits=self.limits,
        )  # fmt: skip

    def _tools(self, journal: Any) -> Tools:
        hooks = {"command": self.hook} if self.hook else {}
        return Tools(
            journal=journal,
            writer=NoRows(),  # type: ignore[arg-type]
            ask=lambda _: Confirmed(),
            progress=lambda *_: None,
            executors={"api": ApiExecutor(lambda: self.cloud, self.clock), "gate": GateExecutor(()), **hooks},
            clock=self.clock,
        )
