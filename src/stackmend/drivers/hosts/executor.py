# SPDX-License-Identifier: Apache-2.0
"""Carries out steps that are commands on hosts: probe, run, probe again.

Commands are child processes that are polled, so that one thread serves many hosts in parallel. Each has the mark of its
step in its argument list: if this process dies, the next one finds the command that is still running, and waits for it
instead of starting it twice.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from stackmend.drivers.hosts.words import last_line, named
from stackmend.model.errors import ApiError, HostLost, HostUnreachable, SourceError
from stackmend.model.protocols import Clock, Completed
from stackmend.model.step import CallStep, HostCommand, StepState
from stackmend.model.writer import Pending, StepResult

#: seconds between two polls of a child process: initial and maximum
FIRST_LOOK, LAST_LOOK = 0.02, 1.0
#: seconds between two probes
AGAIN = 2.0
#: seconds in which a lost host must answer again, before the step is in doubt
LOST = 60.0
#: time limit of a probe in seconds
PROBE = 60.0

#: searches for a pattern that does not match its own argument list
_UNDER_WAY = ("sh", "-c", 'grep -sla -e "$1" /proc/[0-9]*/cmdline; true', "look")


class Process(Protocol):
    """A command in progress (:class:`stackmend.drivers.hosts.running.Running`)."""

    def poll(self, wait: float = 0.0) -> Completed | None:
        """Its result, None while it is running; raises as ``Hosts.run`` does."""
        ...

    @property
    def last_output(self) -> str:
        """The last line printed on stderr so far; "" if there is none."""
        ...


class Starting(Protocol):
    """Starts commands on hosts (:class:`stackmend.drivers.hosts.transport.Transport`)."""

    def start(
        self, host: str, argv: tuple[str, ...], *, limit: float = 60.0, stdin: bytes = b"", mark: str = ""
    ) -> Process:
        """Start a command; HostUnreachable if that is impossible."""
        ...


class _Run(NamedTuple):
    """A command to wait for, or a pause if there is none."""

    label: str
    argv: tuple[str, ...] = ()
    limit: float = PROBE
    mark: str = ""
    pause: float = 0.0


_Answer = Completed | SourceError | None
_Life = Generator[_Run, _Answer, StepResult]


@dataclass(slots=True)
class _Under:
    """A step in progress."""

    step: HostCommand
    life: _Life
    label: str = ""
    process: Process | None = None
    pause: float = FIRST_LOOK


class HostExecutor:
    """Implements :class:`stackmend.model.protocols.Executor` for commands on hosts."""

    def __init__(self, hosts: Starting, clock: Clock) -> None:
        self._hosts, self._clock = hosts, clock

    def begin(self, step: CallStep, mark: str) -> StepResult | Pending:
        """Begin a command, unless its probe says that it is done, or another process has started it."""
        command = _command(step)
        return self._on(_Under(command, self._life(command, mark)), None)

    def go_on(self, pending: Pending) -> StepResult | Pending:
        """Check whether it has ended."""
        under: _Under = pending.state
        answer: _Answer = None
        if under.process is not None:
            try:
                answer = under.process.poll()
            except SourceError as problem:
                answer = problem
            if answer is None:
                under.pause = min(under.pause * 2, LAST_LOOK)
                return self._later(under, under.pause, under.process.last_output)
        return self._on(under, answer)

    def probe(self, step: CallStep) -> StepState:
        """The result of its probe; in doubt without one."""
        command = _command(step)
        if not command.probe:
            return StepState.IN_DOUBT
        try:
            process = self._hosts.start(command.host, command.probe, limit=PROBE)
            while (done := process.poll(LAST_LOOK)) is None:
                pass
        except SourceError:
            state = StepState.IN_DOUBT
        else:
            state = _judged(done, command)
        # nothing runs for a step that only waits: it waits again
        return state if command.argv or state is StepState.DONE else StepState.PLANNED

    # -- the course of a step

    def _on(self, under: _Under, answer: _Answer) -> StepResult | Pending:
        """Continue with the result of the last command, until there is something to wait for."""
        while True:
            try:
                asked = under.life.send(answer)
            except StopIteration as over:
                found: StepResult = over.value
                return found
            under.label, under.process, under.pause = asked.label, None, FIRST_LOOK
            if not asked.argv:
                return self._later(under, asked.pause)
            try:
                host, limit = under.step.host, asked.limit
                under.process = self._hosts.start(host, asked.argv, limit=limit, mark=asked.mark)
            except HostUnreachable as problem:
                answer = problem
                continue
            return self._later(under, under.pause)

    def _later(self, under: _Under, seconds: float, output: str = "") -> Pending:
        label = f"{under.label}: {output}" if output else under.label
        return Pending(self._clock.now() + timedelta(seconds=seconds), label, under)

    def _in(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)

    def _life(self, step: HostCommand, mark: str) -> _Life:
        """A step from its beginning to its end."""
        if not step.argv:
            return (yield from self._seen(step))
        state, words = yield from _look(step)
        if state is StepState.DONE:
            return StepResult(state, "already done", already=True)
        if state is StepState.IN_DOUBT and step.probe:
            return StepResult(StepState.FAILED, f"nothing was done: {words}")
        end = self._in(step.limit)
        if waited := (yield from self._awaited(step, mark, end)):
            return waited
        name = named(step.argv)
        answer = yield _Run(f"runs {name}", step.argv, step.limit, mark)
        if isinstance(answer, HostUnreachable):
            return StepResult(StepState.FAILED, f"nothing was done: {_why(answer)}")
        if isinstance(answer, HostLost):
            return (yield from self._lost(step, mark, answer.message))
        if not isinstance(answer, Completed):
            # it ended, but with more output than is kept: only its probe can decide
            why = answer.message if answer is not None else ""
            state, words = yield from _look(step)
            return StepResult(state if state is StepState.DONE else StepState.IN_DOUBT, f"{why}; {words}")
        return (yield from self._ended(step, answer, end))

    def _seen(self, step: HostCommand) -> _Life:
        """Wait for what a probe looks for; a host that does not answer may come back."""
        end = self._in(step.limit)
        while True:
            state, words = yield from _look(step)
            if state is StepState.DONE:
                return StepResult(state, words, already=True)
            if self._clock.now() >= end:
                return StepResult(StepState.FAILED, f"{words} after {step.limit:g} s")
            yield _Run(words, pause=AGAIN)

    def _ended(self, step: HostCommand, answer: Completed, end: datetime) -> _Life:
        """A command that ended: its own message, and the result of its probe."""
        note = _note(answer)
        if not step.probe:
            return StepResult(StepState.DONE if answer.code == 0 else StepState.FAILED, note)
        while True:
            state, words = yield from _look(step)
            if state is StepState.DONE:
                return StepResult(state, note)
            if state is StepState.PLANNED and answer.code != 0:
                return StepResult(StepState.FAILED, note)
            if self._clock.now() >= end:
                # if the probe could run and says not done, it has failed; otherwise it is in doubt
                state = StepState.FAILED if state is StepState.PLANNED else StepState.IN_DOUBT
                return StepResult(state, f"{note}; {words} after {step.limit:g} s")
            # a machine may take some time to power off
            yield _Run(f"ended, {words}", pause=AGAIN)

    def _awaited(self, step: HostCommand, mark: str, end: datetime) -> Generator[_Run, _Answer, StepResult | None]:
        """Wait for a command started by an earlier process of this run; None if there is none."""
        there = yield from _under_way(mark)
        if not there:
            return None
        while there or there is None:
            if self._clock.now() >= end:
                return StepResult(StepState.IN_DOUBT, "it was started before, and is still running")
            yield _Run("started before, still running", pause=AGAIN)
            there = yield from _under_way(mark)
        state, words = yield from _look(step)
        return StepResult(StepState.FAILED if state is StepState.PLANNED else state, f"started before, {words}")

    def _lost(self, step: HostCommand, mark: str, why: str) -> _Life:
        """Its end was not observed: wait until it certainly has ended, then its probe decides."""
        end, last = self._in(LOST), self._in(LOST + step.limit)
        while True:
            yield _Run(why, pause=AGAIN)
            state, words = yield from _look(step)
            if state is StepState.DONE:
                return StepResult(state, f"{why}; {words}")
            there = yield from _under_way(mark)
            if there is False and state is StepState.PLANNED:
                return StepResult(StepState.FAILED, f"{why}; {words}")
            if there is False and not step.probe:
                return StepResult(StepState.IN_DOUBT, f"{why}; it has ended, with an unknown result")
            if self._clock.now() >= (last if there else end):
                return StepResult(StepState.IN_DOUBT, f"{why}; {words}")


def _look(step: HostCommand) -> Generator[_Run, _Answer, tuple[StepState, str]]:
    """(DONE, PLANNED or IN_DOUBT, in words) according to the probe of a step."""
    if not step.probe:
        return StepState.IN_DOUBT, "it has no probe"
    answer = yield _Run("is checked", step.probe, PROBE)
    if isinstance(answer, Completed):
        state = _judged(answer, step)
        if state is StepState.IN_DOUBT:
            return state, f"its probe {named(step.probe)} is inconclusive: {_note(answer)}"
        return state, "it is done" if state is StepState.DONE else "it is not done"
    return StepState.IN_DOUBT, _why(answer) if answer is not None else ""


def _under_way(mark: str) -> Generator[_Run, _Answer, bool | None]:
    """Whether a command with this mark is running there; None if the host does not answer."""
    if not mark:
        return False
    pattern = f"[{mark[0]}]{re.escape(mark[1:])}"
    answer = yield _Run("is searched for", (*_UNDER_WAY, pattern), PROBE)
    return bool(answer.out.strip()) if isinstance(answer, Completed) else None


def _judged(answer: Completed, step: HostCommand) -> StepState:
    done = int(step.back)
    return {done: StepState.DONE, 1 - done: StepState.PLANNED}.get(answer.code, StepState.IN_DOUBT)


def _note(answer: Completed) -> str:
    line = last_line(answer.err)
    return f"exit code {answer.code}{f': {line}' if line else ''}"


def _why(problem: SourceError) -> str:
    return f"{problem.message}. {problem.hint}".strip(". ")


def _command(step: CallStep) -> HostCommand:
    if isinstance(step, HostCommand):
        return step
    raise ApiError(f"{step.kind} is not a command on a host")
