# SPDX-License-Identifier: Apache-2.0
"""Runs: apply a plan, resume a run that was cut off, undo a run."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from stackmend import __version__
from stackmend.app import apis, hosts
from stackmend.app.replanning import Replanning, looking_again
from stackmend.app.session import CloudSession, has_api, no_progress, utcnow
from stackmend.config.settings import Config
from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.operations import describe
from stackmend.drivers.journal.lease import Heartbeat, stamp
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.drivers.writing.seal import Sealer
from stackmend.drivers.writing.writer import DatabaseWriter
from stackmend.engine.auditing import catalogue
from stackmend.engine.running import resume as resuming
from stackmend.engine.running import undo as undoing
from stackmend.engine.running.gates import AskOperator, GateExecutor, unattended
from stackmend.engine.running.lanes import Lane, lanes
from stackmend.engine.running.runner import Runner, Tools, Watch, consent, never_stop, watch_nothing
from stackmend.model.errors import Exit, JournalError, PlanFileError, SourceError, UsageError
from stackmend.model.journal import JournalEntry, Remark, RunRecord, RunResult, RunState
from stackmend.model.operations.compute import MoveOperation
from stackmend.model.plan import Action, Limits, Plan
from stackmend.model.protocols import Journal, Progress
from stackmend.model.step import ApiCall, Gate, InsertRow, StepState, writes


@dataclass(frozen=True, slots=True)
class RunObserver:
    """The user who watches a run."""

    acknowledged: tuple[str, ...] = ()  #: names of gates that may be passed
    ask: AskOperator = unattended
    watch: Watch = watch_nothing
    stop: Callable[[], str] = never_stop  #: why no further step may start, "" while the run may continue
    troubles: Callable[[], Sequence[str]] = tuple  #: output that could not be written, for the journal


def reach(config: Config) -> str:
    """Who is not excluded by the lease of a run, in a sentence; "" if the journal is on a database server."""
    url = config.journal_url
    if not url.startswith("sqlite"):
        return ""
    return (
        f"the journal {url.partition('///')[2]} excludes only runs that use it: other accounts, hosts or containers"
        " with their own journals can run at the same time ([state] journal can name one shared on a server)"
    )


#: operations that take a server to another host
#: makes what writes the journal of a session; tests pass one that dies at the n-th write
MakeJournal = Callable[[str, float], DatabaseJournal]


def apply(
    config: Config,
    plan: Plan,
    *,
    accept: Sequence[str] = (),
    only: Sequence[str] = (),
    observer: RunObserver = RunObserver(),
    progress: Progress = no_progress,
    make_journal: MakeJournal = DatabaseJournal,
    filed: bool = False,
) -> RunResult:
    """Apply the plan, with every step guarded and journalled; then run the checks again.

    ``filed``: it comes from a file, so its repairs are planned again first, and those whose result differs are stale.
    ``only``: ids of the actions to run. Unsafe repairs without consent by name are skipped; ConsentError if nothing is
    left then, and for any unsafe step of a workflow. PlanFileError for a plan of another cloud, SourceError if that
    cannot be determined, LockedError while another run writes to this cloud. Exit code 4 repaired, 0 nothing was left
    to do, 5 something stale, failed or skipped, 6 in doubt.
    """
    readers, sha256 = CloudSession.looking(config), plan.sha256
    if only:
        plan = plan.only(only)
    _recognised(readers, plan.cloud, f"plan {plan.id}")
    consent(plan, readers.databases.identity, accept, _kinds(config))
    if not plan.runnable:
        return RunResult(run="", done=0, stale=0, failed=0, in_doubt=0, exit=Exit.CLEAN)
    left = plan.unconsented(accept)
    actions = tuple(action for action in plan.runnable if action not in left)
    record = _record(readers, "apply", plan.id, sha256, plan.limits)
    again = Replanning(config, readers, plan) if filed and not plan.workflow else None
    with _tools(config, readers, progress, make_journal, observer) as tools:
        tools = replace(tools, again=again)
        _signed_in(tools, readers, actions)
        with _locked(tools.journal, readers, record):
            tools.journal.begin(record, actions)
            return _without(left, _run(observer, tools, Runner(tools, record, lanes(actions)), record))


def _without(left: Sequence[Action], result: RunResult) -> RunResult:
    """The result of a run that skipped these without consent: the plan is not complete."""
    notes = [
        f"{a.id} {a.repair} {a.resource_type} {a.resource_id}: skipped: requires --accept {a.repair}" for a in left
    ]
    code = Exit.STOPPED if left and result.exit in (Exit.CLEAN, Exit.REPAIRED) else result.exit
    return replace(result, exit=code, left_out=tuple(a.id for a in left), notes=(*result.notes, *notes))


def _kinds(config: Config) -> tuple[str, ...]:
    """Kinds of steps, other than writes of rows, that can be executed here."""
    return (Gate.kind, *hosts.executors(config), *((ApiCall.kind,) if has_api(config) else ()))


def _signed_in(tools: Tools, readers: CloudSession, actions: Sequence[Action]) -> None:
    """If there are API calls: before anything starts, make sure that they are possible and go to the right cloud."""
    calls = tools.executors[ApiCall.kind]
    if isinstance(calls, ApiExecutor) and any(isinstance(step, ApiCall) for a in actions for step in a.steps):
        found = calls.ready()
        if readers.databases.addresses:
            apis.same_cloud(found, readers)


def resume(
    config: Config,
    run: str,
    *,
    observer: RunObserver = RunObserver(),
    progress: Progress = no_progress,
    make_journal: MakeJournal = DatabaseJournal,
) -> RunResult:
    """Resume a run whose process died: steps in doubt are probed, open steps are done."""
    readers = CloudSession.looking(config)
    with _tools(config, readers, progress, make_journal, observer) as tools:
        record = tools.journal.run(run)
        _same_cloud(record, readers)
        with _locked(tools.journal, readers, replace(record, host=socket.gethostname(), pid=os.getpid())):
            entries = tools.journal.entries(run)
            actions = tools.journal.actions(run)
            _unsealed(config, actions)
            tools = replace(tools, again=looking_again(config, readers))
            _signed_in(tools, readers, actions)
            found: list[Lane] = resuming.restored(actions, entries)
            tools.journal.end(run, RunState.RUNNING)
            tools.journal.remark(run, f"resumed by {_operator()} on {socket.gethostname()} (process {os.getpid()})")
            resuming.probe(tools, record, found)
            last = max((entry.batch for entry in entries), default=0)
            return _run(observer, tools, Runner(tools, record, found, batches=last), record)


def undo(
    config: Config,
    run: str,
    *,
    observer: RunObserver = RunObserver(),
    progress: Progress = no_progress,
    make_journal: MakeJournal = DatabaseJournal,
) -> RunResult:
    """Undo a run, as a run of its own: restore every row that still matches what the run wrote, last first.

    Exit code 0: everything is restored; 5: a row has changed since and was left alone, with all that depends on it.
    """
    readers = CloudSession.looking(config)
    with _tools(config, readers, progress, make_journal, observer) as tools:
        record, actions, lost, found = _inverse(tools, readers, run)
        tools.journal.note(record.id, found)
        if not actions:
            code = Exit.STOPPED if lost else Exit.CLEAN
            return RunResult(run="", done=0, stale=0, failed=0, in_doubt=0, exit=code, notes=tuple(lost))
        _unsealed(config, actions)
        _signed_in(tools, readers, actions)
        own = replace(_record(readers, "undo", record.plan, record.sha256, record.limits), undoes=record.id)
        back = lanes(actions)
        with _locked(tools.journal, readers, own):
            tools.journal.begin(own, actions)
            result = _run(observer, tools, Runner(tools, own, back), own)
        code = Exit.STOPPED if lost and result.exit is Exit.CLEAN else result.exit
        moved = undoing.summary([lane.action for lane in back if lane.state is StepState.STALE], len(back))
        return replace(result, exit=code, notes=(*result.notes, *moved, *lost))


def undo_plan(config: Config, run: str) -> tuple[Plan, tuple[str, ...]]:
    """(the plan of :func:`undo`, descriptions of what has changed since). Nothing is changed.

    Steps that cannot be undone, and rows that have changed since, are in ``not_repaired``.
    """
    readers = CloudSession.looking(config)
    with _tools(config, readers, no_progress, DatabaseJournal, RunObserver()) as tools:
        record, actions, lost, _ = _inverse(tools, readers, run)
        moved = undoing.moved_on(lanes(actions), tools.writer)
        left = [undoing.left_alone(action, why) for action, why in moved]
        plan = Plan(
            id=record.plan,
            created_at=utcnow(),
            cloud=record.cloud,
            version=__version__,
            actions=tuple(actions),
            not_repaired=(*left, *(undoing.irretrievable(text) for text in lost)),
            limits=record.limits,
        )
        return plan, undoing.summary([action for action, _ in moved], len(actions))


def _inverse(
    tools: Tools, readers: CloudSession, run: str
) -> tuple[RunRecord, list[Action], list[str], list[JournalEntry]]:
    """(the run, actions that undo it, irreversible steps, the outcome of its calls since)."""
    record = tools.journal.run(run)
    _same_cloud(record, readers)
    done, entries = tools.journal.actions(record.id), tools.journal.entries(record.id)
    undoing.refuse(record, entries)
    found: list[JournalEntry] = []
    if any((entry.image or {}).get("sent") for entry in entries):
        _signed_in(tools, readers, done)
        found = list(resuming.come_true(tools, done, entries))
    skip = _taken_back(tools.journal, tools.journal.runs(), record.id)
    actions, lost = undoing.inverse(done, [*entries, *found], skip, describe)
    return record, actions, lost, found


def _run(observer: RunObserver, tools: Tools, runner: Runner, record: RunRecord) -> RunResult:
    """Run it; output that could not be printed meanwhile is noted in the journal."""
    result = runner.run(checked=record.kind == "apply")
    if result.steps:
        actions, _ = undoing.inverse(tools.journal.actions(record.id), tools.journal.entries(record.id), frozenset())
        result = replace(result, undoable=any(writes(step) for action in actions for step in action.steps))
    # the work is done and journalled: a failure to add a remark must not make the run fail
    with suppress(JournalError):
        for text in observer.troubles():
            tools.journal.remark(record.id, text)
    return result


def remark(config: Config, run: str, text: str) -> None:
    """Note what happened to a run after it ended; failure to write the journal is ignored."""
    with suppress(JournalError), CloudSession.looking(config).journal() as journal:
        journal.remark(run, text)


def _taken_back(journal: Journal, every: Sequence[RunRecord], run: str) -> frozenset[str]:
    """Ids of the actions of a run that were completely undone, and not redone since."""
    found: frozenset[str] = frozenset()
    for record in every:
        if record.undoes == run:
            back = undoing.done_before([(journal.actions(record.id), journal.entries(record.id))])
            found |= back - _taken_back(journal, every, record.id)
    return found


def _unsealed(config: Config, actions: Sequence[Action]) -> None:
    """JournalError unless all sealed columns can be unsealed: half an undo would be worse than none."""
    sealer = Sealer(config.state / "journal.key")
    for action in actions:
        for step in action.steps:
            if isinstance(step, InsertRow) and step.sealed:
                sealer.unseal(step.sealed)


def list_runs(
    config: Config, *, limit: int | None = None, states: Sequence[str] = (), kind: str = "", since: str = ""
) -> list[RunRecord]:
    """The runs of the journal, newest first; of these states and this kind, begun since then (ISO 8601, UTC)."""
    with CloudSession.looking(config).journal() as journal:
        found = [
            run
            for run in journal.runs()
            if (not states or run.state in states) and kind in ("", run.kind) and run.created_at >= since
        ]
    return found[:limit]


def show_run(config: Config, run: str) -> tuple[RunRecord, list[Action], list[JournalEntry], list[Remark]]:
    """A run with its actions, every entry and every remark; UsageError for an unknown run."""
    with CloudSession.looking(config).journal() as journal:
        record = journal.run(run)
        return record, journal.actions(record.id), journal.entries(record.id), journal.remarks(record.id)


def moved_from(config: Config, run: str, host: str) -> list[str]:
    """Servers that a run has moved away from a host, in the order of its plan; UsageError if there are none."""
    _, actions, entries, _ = show_run(config, run)
    own = undoing.own_steps(actions, entries)
    found = [
        step.operation.server
        for step in own
        if isinstance(step, ApiCall) and isinstance(step.operation, MoveOperation) and step.operation.from_ == host
    ]
    if not found:
        raise UsageError(f"run {run} moved no server from {host}", f"See 'stackmend run show {run}'.")
    return list(dict.fromkeys(found))


@contextmanager
def _tools(
    config: Config,
    readers: CloudSession,
    progress: Progress,
    make_journal: MakeJournal,
    observer: RunObserver,
) -> Iterator[Tools]:
    writers = CloudSession.looking(config, write=True)
    journal = make_journal(config.journal_url, config.database_timeout)
    writer = DatabaseWriter(
        writers.databases.addresses,
        writers.databases.errors,
        Sealer(config.state / "journal.key"),
    )
    calls = apis.executor(config)
    try:
        with readers.asking(catalogue.checks()) as ask:
            yield Tools(
                journal=journal,
                writer=writer,
                ask=ask,
                progress=progress,
                executors={
                    ApiCall.kind: calls,
                    **hosts.executors(config),
                    Gate.kind: GateExecutor(observer.acknowledged, observer.ask),
                },
                clock=apis.SystemClock(),
                watch=observer.watch,
                stop=observer.stop,
            )
    finally:
        calls.close()
        writer.close()
        journal.close()


@contextmanager
def _locked(journal: Journal, session: CloudSession, record: RunRecord) -> Iterator[None]:
    """Hold the lease on the cloud and keep renewing it, however long a step takes."""
    journal.lock(session.databases.lease, record)
    try:
        with Heartbeat(lambda: journal.beat(record.id)):
            yield
    finally:
        # the error of an unwritable journal was already reported; the lease of an ended process expires
        with suppress(JournalError):
            journal.unlock(record.id)


def _record(session: CloudSession, kind: str, plan: str, sha256: str, limits: Limits) -> RunRecord:
    return RunRecord(
        id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        kind=kind,
        plan=plan,
        sha256=sha256,
        cloud=session.databases.identity,
        version=__version__,
        operator=_operator(),
        host=socket.gethostname(),
        pid=os.getpid(),
        created_at=stamp(),
        limits=limits,
    )


def _operator() -> str:
    """The operator; a user id may have no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}"


def _recognised(session: CloudSession, cloud: str, what: str) -> None:
    """SourceError if it may differ only because nova_api, whose cells belong to the cloud's identity, was not read."""
    unread = session.databases.errors.get("nova_api")
    if unread and cloud != session.databases.identity:
        raise SourceError(f"it is unknown whether {what} belongs to this cloud: {unread}", "Nothing was changed.")


def _same_cloud(record: RunRecord, session: CloudSession) -> None:
    _recognised(session, record.cloud, f"run {record.id}")
    if record.cloud != session.databases.identity:
        raise PlanFileError(
            f"run {record.id} was made on another cloud ({record.cloud}, this one is {session.databases.identity})",
            "Use the configuration it was made with.",
        )
