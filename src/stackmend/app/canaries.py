# SPDX-License-Identifier: Apache-2.0
"""Batches of canaries: reports on a batch, from its run's journal and Nova's records, and the clean-up of leftovers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime

from stackmend.app import apis, diagnosing, runs, workflows
from stackmend.app.runs import RunObserver
from stackmend.app.session import no_progress
from stackmend.cloud import canaries
from stackmend.cloud.canaries import NAME, Story
from stackmend.config.settings import Config
from stackmend.model.errors import StackmendError, UsageError
from stackmend.model.journal import JournalEntry, RunResult
from stackmend.model.objects.canaries import Batch, Canary, Explained, Phase
from stackmend.model.operations.canaries import BuildCanary, CanaryProved, RemoveCanary
from stackmend.model.plan import Action
from stackmend.model.protocols import Progress
from stackmend.model.step import ApiCall, Step, StepState
from stackmend.model.values import texts

_WORKFLOW = "prove-cloud"
#: operation -> its phase; the phase's value is also the key of its duration in ``seconds``
_PHASES: Mapping[type, Phase] = {BuildCanary: Phase.BUILD, CanaryProved: Phase.PROVE, RemoveCanary: Phase.CLEAN}
#: how many failures are diagnosed at most, and from how many seconds before the run logs are read
_DIAGNOSED, _BEFORE = 5, 60.0
_BAD = (StepState.FAILED, StepState.IN_DOUBT, StepState.STALE)


@dataclass(slots=True)
class _Seen:
    """What the journal records about one canary."""

    begun: bool = False
    built: bool = False  #: every step of its build lane is done: it was proved, and its ports are tagged
    gone: bool = False
    failed: Phase | None = None
    why: str = ""
    seconds: dict[str, float] | None = None


def report(config: Config, run: str, logs: Sequence[str] = ()) -> Batch:
    """The results of a run's batch. UsageError if the run built no canaries, SourceError if no service answers.

    ``logs``: where the causes of failures are searched for.
    """
    _, actions, entries, _ = runs.show_run(config, run)
    names = list(dict.fromkeys(str(one.target.get("canary")) for one in actions if one.repair == _WORKFLOW))
    match = NAME.fullmatch(names[0]) if names else None
    if match is None:
        raise UsageError(f"run {run} has built no canaries", "See 'stackmend run list'.")
    with closing(apis.executor(config)) as calls:
        api = calls.ready()
        stories = canaries.stories(api, match[1])
        left = canaries.there(api, match[1])
    seen = _read(actions, entries)
    still = {one.canary for one in left}
    for name, one in seen.items():
        # another run may have cleaned it up
        one.gone = one.gone or (one.begun and name not in still)
    last = {entry.step: entry.state for entry in entries}
    batch = Batch(
        run=run,
        batch=match[1],
        asked=_asked(actions),
        canaries=[_canary(name, seen[name], stories.get(name, Story(server=""))) for name in names],
        left=[f"{one.kind} {one.id}" for one in left],
        in_doubt=any(state in (StepState.IN_DOUBT, StepState.INTENT) for state in last.values()),
    )
    begun = min((entry.at for entry in entries), default="")
    return _explained(config, batch, logs, begun) if logs and begun else batch


def _explained(config: Config, batch: Batch, logs: Sequence[str], begun: str) -> Batch:
    """The batch with the causes of its failures: of one for each host and phase, as the others fail alike."""
    since = datetime.fromisoformat(begun).timestamp() - _BEFORE
    # a canary is gone by now: an API would not know it
    source = config if config.databases else replace(config, cloud=None, client=None, offline=True)
    causes: dict[str, list[Explained]] = {}
    notes: list[str] = []
    first = {(one.host, one.phase): one for one in reversed(batch.bad) if one.server}
    for one in list(first.values())[:_DIAGNOSED]:
        asked = diagnosing.Asked(kind="server", text=one.server, logs=tuple(logs), since=since, audit=False)
        try:
            found = diagnosing.diagnose(source, asked)
        except StackmendError as problem:
            notes.append(f"{one.name} could not be diagnosed: {problem.message}")
            continue
        causes[one.name] = [
            Explained(cause=b.cause, confidence=b.verdict.confidence.value, statement=b.verdict.statement)
            for b in found.blamed
            if not b.consequence_of
        ]
    told = [replace(one, causes=causes.get(one.name, ())) for one in batch.canaries]
    return replace(batch, canaries=told, notes=notes)


def _asked(actions: Sequence[Action]) -> dict[str, object]:
    """What was requested, taken from the steps."""
    steps = [step.operation for one in actions for step in one.steps if isinstance(step, ApiCall)]
    built = [one for one in steps if isinstance(one, BuildCanary)]
    first = built[0]
    return {
        "count": len(built),
        "image": first.image,
        "flavor": first.flavor,
        "networks": list(texts(first.networks)),
        "volume": first.volume,
        "hosts": list(dict.fromkeys(one.host for one in built if one.host)),
    }


def _read(actions: Sequence[Action], entries: Sequence[JournalEntry]) -> dict[str, _Seen]:
    """Name -> what the journal records about that canary."""
    by_step: dict[int, list[JournalEntry]] = {}
    for entry in entries:
        by_step.setdefault(entry.step, []).append(entry)
    found: dict[str, _Seen] = {}
    for action, first in _numbered(actions):
        seen = found.setdefault(str(action.target.get("canary")), _Seen(seconds={}))
        own = [by_step.get(first + at, []) for at in range(len(action.steps))]
        done = bool(own) and all(some and some[-1].state is StepState.DONE for some in own)
        seen.begun = seen.begun or any(own)
        if action.target.get("what") == "build":
            seen.built = done
        else:
            seen.gone = done
        for step, some in zip(action.steps, own, strict=True):
            _note(seen, step, some)
    return found


def _numbered(actions: Sequence[Action]) -> Iterator[tuple[Action, int]]:
    """(action, number of its first step in the run)."""
    first = 0
    for action in actions:
        yield action, first
        first += len(action.steps)


def _note(seen: _Seen, step: Step, entries: Sequence[JournalEntry]) -> None:
    """Note how long a step took, and whether it is the first to fail."""
    if not entries or not isinstance(step, ApiCall):
        return
    last = entries[-1]
    phase = _PHASES.get(type(step.operation), Phase.CLEAN if seen.built else Phase.PROVE)
    if last.state in _BAD and seen.failed is None:
        seen.failed, seen.why = phase, last.note
    begun = next((entry for entry in entries if entry.state is StepState.INTENT), None)
    if begun and last.state is StepState.DONE and type(step.operation) in _PHASES and seen.seconds is not None:
        passed = datetime.fromisoformat(last.at) - datetime.fromisoformat(begun.at)
        seen.seconds[phase.value] = round(passed.total_seconds(), 1)


def _canary(name: str, seen: _Seen, story: Story) -> Canary:
    phase = Phase.DONE
    if seen.failed is not None:
        phase = seen.failed
    elif not seen.begun:
        phase = Phase.WAITING
    elif not seen.built:
        phase = Phase.BUILD
    elif not seen.gone:
        phase = Phase.CLEAN
    seconds = dict(seen.seconds or {})
    if story.waited is not None:
        seconds["wait"] = story.waited
    *before, last = story.attempts or (None,)
    if last is not None and phase is Phase.BUILD and seen.failed is not None:
        last = replace(last, failed=True, why=story.fault)
    if last is not None and last.seconds is not None:
        seconds["host"] = last.seconds
    return Canary(
        name=name, server=story.server, phase=phase, failed=seen.failed is not None, host=last.host if last else "",
        why=seen.why, seconds=seconds, attempts=[one for one in (*before, last) if one is not None],
    )  # fmt: skip


def clean(config: Config, batch: str, observer: RunObserver, progress: Progress = no_progress) -> RunResult | None:
    """Delete what is left of a batch, in a separate run; None if nothing is left."""
    plan = workflows.plan(config, "clean-canaries", {"batch": batch}, parallel=4, failures=1_000_000)
    return runs.apply(config, plan, observer=observer, progress=progress) if plan.runnable else None
