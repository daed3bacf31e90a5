# SPDX-License-Identifier: Apache-2.0
"""The only runner: takes lanes through the writer and the executors, with journal entries before and after every step.

Lanes run side by side, in batches of those whose next segment is on the same database; a lane that is stale or fails
stops alone. The order within a lane is kept, and a stage of the plan ends before the next one begins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from stackmend.engine.planning.replan import Again, changed_lanes
from stackmend.engine.running.call_scheduler import CallScheduler
from stackmend.engine.running.lanes import Call, Lane, batches, lanes, last_entries
from stackmend.engine.running.undo import inverse
from stackmend.engine.running.verify import AskAgain, by_check, compare, probed, verify
from stackmend.model.errors import (
    ConsentError,
    Exit,
    InDoubtError,
    JournalError,
    PlanFileError,
    StackmendError,
)
from stackmend.model.events import Events
from stackmend.model.journal import JournalEntry, RunRecord, RunResult, RunState
from stackmend.model.plan import Plan
from stackmend.model.protocols import Clock, Executor, Journal, Progress, Writer
from stackmend.model.step import CallStep, StepState
from stackmend.model.writer import Group, GroupResult, Pending, StepResult, mark_of

_EVENTS = Events(__name__)

_ALREADY = {"already": True}
#: of a failed call: a service may have accepted it
SENT = {"sent": True}
_FAILURES = (StepState.FAILED, StepState.IN_DOUBT)
_GONE = "the finding no longer exists, but the rows are not as the repair would leave them"


#: (every lane of the run, calls in progress)
Watch = Callable[[Sequence[Lane], Mapping[Lane, Pending]], None]


def never_stop() -> str:
    """Never asks to stop."""
    return ""


def watch_nothing(lanes: Sequence[Lane], moving: Mapping[Lane, Pending]) -> None:
    """Watches nothing."""
    del lanes, moving


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Everything a runner works with."""

    journal: Journal
    writer: Writer
    ask: AskAgain
    progress: Progress
    executors: Mapping[str, Executor]  #: kind of step ("api", "command", "gate") -> its executor
    clock: Clock
    #: called whenever the calls in progress change: all lanes; lane -> its call
    watch: Watch = watch_nothing
    #: why no further step is to be begun ("SIGTERM"), "" to continue
    stop: Callable[[], str] = never_stop
    #: plans the actions of a file again; None if this process planned them, or they are already in the journal
    again: Again | None = None


def consent(plan: Plan, cloud: str, accept: Collection[str], executors: Collection[str]) -> None:
    """Refuse a plan for another cloud (PlanFileError), with steps that have no executor, or without consent by name."""
    if plan.cloud != cloud:
        raise PlanFileError(
            f"plan {plan.id} was made for another cloud ({plan.cloud}, this one is {cloud})",
            "Use the configuration it was made with, or make a new plan.",
        )
    steps = [step for action in plan.runnable for step in action.steps]
    undoable = sorted({s.kind for s in steps if isinstance(s, CallStep)} - set(executors))
    if undoable:
        raise ConsentError(
            f"the plan contains steps that cannot be done here: {', '.join(undoable)}",
            "Configure what they need, or make the plan with --via db --allow-db.",
        )
    missing = plan.unconsented(accept)
    if missing and (plan.workflow or len(missing) == len(plan.runnable)):
        names = sorted({action.repair for action in missing})
        raise ConsentError(
            f"{', '.join(names)} may lose something and needs consent by name",
            f"Read the plan, then repeat with {' '.join(f'--accept {name}' for name in names)}.",
        )


class Runner:
    """One run from its first step to its result."""

    def __init__(self, tools: Tools, record: RunRecord, lanes: Sequence[Lane], *, batches: int = 0) -> None:
        self._tools, self._record, self._lanes = tools, record, lanes
        self._batch = batches  #: number of the last transaction
        self._notes: list[str] = []
        self._unverified = False
        self._waiting: list[str] = []  #: fingerprints of findings that remain until a human has done something
        self._stopped = ""  #: why it ended early
        self._different = False  #: an undo has not restored every row
        self._failures = sum(lane.state in _FAILURES for lane in lanes)

    def run(self, *, checked: bool) -> RunResult:
        """Execute every open lane; ``checked``: run the findings' checks before and after.

        Raises JournalError, stating what was changed by then, if the journal cannot be written during the run.
        """
        _EVENTS.milestone("run begun", run=self._record.id, kind=self._record.kind, actions=len(self._lanes))
        try:
            return self._run(checked=checked)
        except JournalError as problem:
            made = sum(lane.made for lane in self._lanes)
            if not made:
                raise
            changes = f"{made} change{'s' if made != 1 else ''}"
            raise JournalError(
                f"{problem.message}: run {self._record.id} stopped after {changes}; completed steps are recorded",
                f"Make the journal writable again, then run 'stackmend run resume {self._record.id}': it continues"
                " where this run ended.",
            ) from problem

    def _run(self, *, checked: bool) -> RunResult:
        for lane in self._lanes:
            if lane.regret:
                self._regret(lane, lane.regret)
        if checked:
            self._confirm()
        for stage in sorted({lane.action.stage for lane in self._lanes}):
            lanes = [lane for lane in self._lanes if lane.action.stage == stage]
            self._stage(lanes)
            if stopped := [lane for lane in lanes if lane.action.required and lane.state is not StepState.DONE]:
                self._notes.append(f"the stages after {_name(stopped[0])} were not begun")
                break
        self._tools.watch(self._lanes, {})
        # after that no databases are read for minutes: done lanes are verified when the run resumes
        short = bool(self._stopped) and any(lane.open for lane in self._lanes)
        if short:
            self._notes.append(f"{self._stopped}: the rest was not begun")
            self._tools.journal.remark(self._record.id, self._stopped)
        remaining = self._verify() if checked and not short else ()
        if self._record.kind == "undo":
            self._compare()
        return self._end(remaining)

    # -- before and after

    def _confirm(self) -> None:
        """Run the checks again: lanes whose finding is gone are already done, or stale."""
        asked = [lane for lane in self._lanes if lane.open and lane.at == 0 and lane.action.check and not lane.begun]
        self._tools.progress("confirming", 0, len(asked))
        answer = self._tools.ask(by_check(asked))
        gone = {}
        for lane in asked:
            name = lane.action.check
            if name in answer.unknown:
                note = f"check {name} could not be run again: {answer.unknown[name]}"
                self._close(lane, StepState.FAILED, note)
            elif lane.action.fingerprint not in answer.rows.get(name, {}):
                gone[lane] = _GONE
        if self._tools.again is not None:
            gone |= changed_lanes([lane for lane in self._lanes if lane not in gone], answer, self._tools.again)
        done = self._found_done(list(gone))
        for lane, why in gone.items():
            if lane in done:
                lane.already, lane.state = True, StepState.DONE
                self._note(
                    [JournalEntry(n, StepState.DONE, _ALREADY, "done already") for g in lane.groups for n in g.numbers]
                )
            else:
                self._close(lane, StepState.STALE, why)

    def _found_done(self, lanes: Sequence[Lane]) -> set[Lane]:
        """The lanes whose segments are all done already, by whomever; of several calls the last one decides."""
        lacking = set()
        for lane in lanes:
            calls = [segment for segment in lane.segments if isinstance(segment, Call)]
            if calls and self._executor(calls[-1]).probe(calls[-1].step) is not StepState.DONE:
                lacking.add(lane)
        by: dict[str, list[Group]] = {}
        for lane in lanes:
            for group in lane.groups:
                by.setdefault(group.database, []).append(group)
        for groups in by.values():
            for group, verdict in zip(groups, probed(self._tools.writer, groups, {}), strict=True):
                if verdict.state is not StepState.DONE:
                    lacking.add(self._lanes[group.lane])
        return set(lanes) - lacking

    def _verify(self) -> tuple[str, ...]:
        """Fingerprints of findings that are still there after their repair."""
        done = [lane for lane in self._lanes if lane.state is StepState.DONE and lane.action.check]
        self._tools.progress("verifying", 0, len(done))
        verified = verify(done, self._tools.ask)
        self._unverified = bool(verified.unknown)
        for check, reason in verified.unknown.items():
            self._notes.append(f"check {check} could not be run after the repair: {reason}")
        still = []
        for lane in verified.still:
            if waits := lane.awaited:
                self._waiting.append(lane.action.fingerprint)
                self._notes.append(
                    f"{_name(lane)}: done; {lane.action.check} still reports it until this is done: {waits}"
                )
            else:
                still.append(lane.action.fingerprint)
                self._notes.append(f"{_name(lane)}: {lane.action.check} still reports it after the repair")
        return tuple(still)

    def _compare(self) -> None:
        """The end of an undo: verify that every row it restored is as it was."""
        compared = compare(self._lanes, self._tools.writer)
        self._different = bool(compared.different)
        self._unverified = bool(compared.unknown)
        self._notes += [f"not restored: {what}" for what in compared.different]
        for database, reason in compared.unknown.items():
            self._notes.append(f"the rows of {database} could not be compared after undo: {reason}")

    def _end(self, remaining: tuple[str, ...]) -> RunResult:
        states = [lane.state for lane in self._lanes]
        doubt, left = states.count(StepState.IN_DOUBT), states.count(StepState.PLANNED)
        held = states.count(StepState.HELD)
        left += held
        stopped = states.count(StepState.STALE) + states.count(StepState.FAILED) + left
        if doubt:
            state, code = RunState.IN_DOUBT, Exit.IN_DOUBT
        elif stopped or remaining or self._different:
            state, code = RunState.STOPPED if stopped or self._different else RunState.DONE, Exit.STOPPED
        else:
            state, code = RunState.DONE, self._good()
        self._tools.journal.end(self._record.id, state)
        _EVENTS.milestone("run ended", run=self._record.id, state=state.value, exit=int(code))
        notes = [f"{_name(lane)}: {lane.state.value}: {lane.note}" for lane in self._lanes if lane.note]
        return RunResult(
            run=self._record.id,
            done=states.count(StepState.DONE),
            stale=states.count(StepState.STALE),
            failed=states.count(StepState.FAILED),
            in_doubt=doubt,
            exit=code,
            already=sum(lane.already for lane in self._lanes),
            left=left,
            steps=sum(lane.made for lane in self._lanes),
            remaining=remaining,
            waiting=tuple(self._waiting),
            notes=(*notes, *self._notes),
            held=tuple(lane.gate for lane in self._lanes if lane.state is StepState.HELD),
            manual=tuple(text for lane in self._lanes if lane.state is StepState.DONE for _, text in lane.manual()),
        )

    def _good(self) -> Exit:
        """The exit code of a run that did all of its work; a run with nothing left to do has repaired nothing."""
        if self._unverified:
            return Exit.INCOMPLETE
        repaired = any(lane.state is StepState.DONE and not lane.already for lane in self._lanes)
        return Exit.REPAIRED if repaired and self._record.kind == "apply" else Exit.CLEAN

    # -- during the run

    def _stage(self, lanes: Sequence[Lane]) -> None:
        """Execute one stage: rows in batches, calls in parallel within the limits."""
        traffic = CallScheduler(self._record.limits)
        rows: dict[str, list[Lane]] = {}
        for lane in lanes:
            self._queue(lane, rows, traffic)
        while (rows or traffic.busy) and not self._halted():
            self._tools.progress("applying", sum(not lane.open for lane in self._lanes), len(self._lanes))
            if rows:
                for batch in batches(rows.pop(max(rows, key=lambda name: len(rows[name])))):
                    self._rows(batch)
                    for lane in batch:
                        self._queue(lane, rows, traffic)
                    if self._halted():
                        break
            self._calls(rows, traffic)
        self._drain(traffic)

    def _queue(self, lane: Lane, rows: dict[str, list[Lane]], traffic: CallScheduler) -> None:
        """Queue a lane for its next segment."""
        if not lane.open:
            return
        segment = lane.segment
        if isinstance(segment, Group):
            rows.setdefault(segment.database, []).append(lane)
        else:
            traffic.wait(lane)

    def _calls(self, rows: dict[str, list[Lane]], traffic: CallScheduler) -> None:
        """Begin calls that may begin and check those that are due; wait only if there is nothing else to do."""
        while not self._halted() and (lane := traffic.admit()) is not None:
            found = self._begin(lane)
            if isinstance(found, Pending):
                traffic.begun(lane, found)
            else:
                traffic.over(lane)
                self._over(lane, found)
                self._queue(lane, rows, traffic)
        if not traffic.moving:
            return
        self._tools.watch(self._lanes, traffic.moving)
        if not rows:
            self._await(traffic)
        self._look(rows, traffic)

    def _await(self, traffic: CallScheduler) -> None:
        at = traffic.next_look()
        if at is not None and (pause := (at - self._tools.clock.now()).total_seconds()) > 0:
            self._tools.clock.sleep(pause)

    def _look(self, rows: dict[str, list[Lane]], traffic: CallScheduler) -> None:
        """Check every call that is due."""
        now = self._tools.clock.now()
        while (lane := traffic.due(now)) is not None:
            found = self._go_on(lane, traffic.moving[lane])
            if isinstance(found, Pending):
                traffic.goes_on(lane, found)
            else:
                traffic.over(lane)
                self._over(lane, found)
                self._queue(lane, rows, traffic)

    def _drain(self, traffic: CallScheduler) -> None:
        """Begin nothing new, but follow the calls in progress to their end."""
        while traffic.moving:
            self._tools.watch(self._lanes, traffic.moving)
            self._await(traffic)
            self._look({}, traffic)

    def _halted(self) -> bool:
        """Whether no further step is to be begun: after too many failures, or on request."""
        if self._stopped:
            return True
        if reason := self._tools.stop():
            self._stopped = f"asked to stop ({reason})"
        elif self._failures > self._record.limits.max_failures:
            self._stopped = f"stopped after {self._failures} failures"
        else:
            return False
        return True

    def _rows(self, lanes: Sequence[Lane]) -> None:
        """Execute the next groups of these lanes, all on one database."""
        groups = [lane.segment for lane in lanes if isinstance(lane.segment, Group)]
        verdicts = self._tools.writer.write(groups, self._intent)
        entries: list[JournalEntry] = []
        stale: list[tuple[Lane, Group, GroupResult]] = []
        for lane, group, verdict in zip(lanes, groups, verdicts, strict=True):
            if verdict.state is StepState.STALE:
                stale.append((lane, group, verdict))
                continue
            entries += verdict.entries
            self._settle(lane, verdict)
        # before the stale ones are probed, which may fail: what is committed has to be recorded
        self._note(entries)
        for lane, verdict in zip(lanes, verdicts, strict=True):
            if verdict.regret:
                self._regret(lane, verdict.regret)
        self._note(self._stale(stale))

    def _settle(self, lane: Lane, verdict: GroupResult) -> None:
        if verdict.state is StepState.DONE:
            lane.advance()
            _EVENTS.detail("action went on", run=self._record.id, action=lane.action.id)
        else:
            self._stop(lane, verdict.state, verdict.note)

    def _stop(self, lane: Lane, state: StepState, note: str) -> None:
        lane.stop(state, note)
        _EVENTS.milestone("action stopped", run=self._record.id, action=lane.action.id, state=state.value, reason=note)
        self._failures += state in _FAILURES

    def _stale(self, found: Sequence[tuple[Lane, Group, GroupResult]]) -> list[JournalEntry]:
        """Groups whose rows are not as planned: already done (the plan is applied twice), or really stale."""
        if not found:
            return []
        entries: list[JournalEntry] = []
        looks = probed(self._tools.writer, [group for _, group, _ in found], {})
        for (lane, group, verdict), probe in zip(found, looks, strict=True):
            if probe.state is not StepState.DONE:
                entries += verdict.entries
                self._stop(lane, StepState.STALE, verdict.note)
                continue
            mine = any(number in lane.begun for number in group.numbers)
            if mine:
                # the transaction of the process that died was committed after all, after we had probed
                entries += probe.entries
                lane.advance()
            else:
                entries += [JournalEntry(n, StepState.DONE, _ALREADY, "done already") for n in group.numbers]
                lane.already = lane.made == 0
                lane.skip()
        return entries

    def _regret(self, lane: Lane, why: str) -> None:
        """Revert what a lane has done, in an undo of its own: its preconditions changed while it was committed."""
        journal, mine = self._tools.journal, self._record.id
        every = [one.action for one in self._lanes]
        others = frozenset(action.id for action in every if action is not lane.action)
        entries = journal.entries(mine)
        actions, lost = inverse(every, entries, others)
        back = replace(self._record, id=f"{mine}-{lane.action.id}", kind="undo", undoes=mine, ended_at="")
        journal.begin(back, actions)
        # even if the run was asked to stop: a group is reverted completely
        result = Runner(replace(self._tools, stop=never_stop), back, lanes(actions)).run(checked=False)
        whole = result.exit is Exit.CLEAN and not lost
        done = sorted(n for n, e in last_entries(entries).items() if e.state is StepState.DONE and n in _numbers(lane))
        if whole:
            note = f"{why}: undone by run {back.id}"
            self._note([JournalEntry(n, StepState.STALE, None, note) for n in done])
            lane.made = 0
            self._stop(lane, StepState.STALE, note)
            return
        note = f"{why}, but it could not be undone completely (run {back.id}): {'; '.join((*result.notes, *lost))}"
        # it does not continue when the run is resumed
        self._note([JournalEntry(n, StepState.FAILED, None, note) for n in _numbers(lane) if n > max(done)][:1])
        self._stop(lane, StepState.FAILED, note)

    def _begin(self, lane: Lane) -> StepResult | Pending:
        """Begin the next step of a lane, a call."""
        call = lane.call
        mark = mark_of(self._record.id, call.number)
        self._intent([JournalEntry(call.number, StepState.INTENT, None, f"known to the services as {mark}")])
        _EVENTS.detail("call begun", run=self._record.id, action=lane.action.id, step=call.number, request=mark)
        return self._guarded(lambda: self._executor(call).begin(call.step, mark))

    def _go_on(self, lane: Lane, pending: Pending) -> StepResult | Pending:
        return self._guarded(lambda: self._executor(lane.call).go_on(pending))

    def _guarded(self, ask: Callable[[], StepResult | Pending]) -> StepResult | Pending:
        try:
            return ask()
        except StackmendError as problem:
            return StepResult(StepState.FAILED, f"{problem.message}. {problem.hint}".strip())
        except Exception as problem:  # noqa: BLE001
            # the lane's boundary: whatever failed must not affect the other lanes, and its effect is unknown
            return StepResult(StepState.IN_DOUBT, f"unexpected {type(problem).__name__}")

    def _over(self, lane: Lane, outcome: StepResult) -> None:
        """A call has ended: record it, and let its lane continue or stop."""
        call = lane.call
        # what an earlier process of this run began is ours, even if found done
        already = outcome.already and call.number not in lane.begun
        _EVENTS.detail(
            "call ended", run=self._record.id, step=call.number, state=outcome.state.value, note=outcome.note
        )
        image = _ALREADY if already else SENT if outcome.sent else None
        self._note([JournalEntry(call.number, outcome.state, image, outcome.note)])
        if already:
            lane.skip()
            lane.already = lane.made == 0 and not lane.open
        else:
            self._settle(lane, GroupResult(outcome.state, outcome.note, []))

    def _executor(self, call: Call) -> Executor:
        return self._tools.executors[call.step.kind]

    # -- the journal

    def _intent(self, entries: Sequence[JournalEntry]) -> None:
        if entries:
            self._batch += 1
            number = self._batch
            self._tools.journal.note(self._record.id, [JournalEntry(e[0], e[1], e[2], e[3], number) for e in entries])

    def _note(self, entries: Sequence[JournalEntry]) -> None:
        """Record outcomes; if that fails after a commit, a human has to know."""
        if not entries:
            return
        try:
            self._tools.journal.note(self._record.id, entries)
        except JournalError as problem:
            raise InDoubtError(
                f"run {self._record.id}: changes were committed, but their outcome could not be recorded:"
                f" {problem.message}",
                f"Make the journal writable again, then run 'stackmend run resume {self._record.id}': it checks the"
                " rows, completes the record and continues.",
            ) from problem

    def _close(self, lane: Lane, state: StepState, note: str) -> None:
        self._stop(lane, state, note)
        self._note([JournalEntry(lane.first, state, None, note)])


def _numbers(lane: Lane) -> range:
    return range(lane.first, lane.first + len(lane.action.steps))


def _name(lane: Lane) -> str:
    action = lane.action
    return f"{action.id} {action.repair} {action.resource_type} {action.resource_id}"
