# SPDX-License-Identifier: Apache-2.0
"""Executes API calls: reads, compares, sends once, and waits until the outcome is visible.

A request is repeated only if the service has certainly not accepted it (no connection, 429, 503 with nothing started),
or if repeating it is harmless. If the answer was lost, the live state decides; if that is inconclusive, the step is in
doubt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from stackmend.drivers.api.operations import Implementation, implementation_of
from stackmend.drivers.api.reading import BUSY, LONGEST_PAUSE, PAUSE, TRIES, ApiReading, hint
from stackmend.model.api import Request, Response
from stackmend.model.errors import ApiError, LostError, SourceError, UnsentError
from stackmend.model.operations import JsonObject
from stackmend.model.protocols import Clock, Session
from stackmend.model.step import ApiCall, CallStep, StepState
from stackmend.model.writer import Pending, StepResult

#: seconds in which the effect of a request with a lost answer must become visible, before the step is in doubt
LOST = 30.0
#: Placement's error code for a lost race over a provider
_RACE = "placement.concurrent_update"
#: Neutron's status if the object has another revision than the request was made for
_CHANGED = 412
#: seconds between two polls: initial and maximum
FIRST_LOOK, LAST_LOOK = 0.25, 5.0
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Try:
    """A call in progress."""

    how: Implementation[Any, Any]
    call: ApiCall
    mark: str
    requests: deque[Request]  #: not tried yet
    picture: JsonObject  #: the state found when its guards were compared
    ids: list[str] = field(default_factory=list)  #: the services' ids of its requests
    refused: list[str] = field(default_factory=list)  #: why requests failed
    sent: bool = False  #: a request may have been received
    begun: bool = False  #: it was seen in progress, or accepted by a service that shows it immediately
    relieved: bool = False  #: the remedy for a stalled call was sent
    lost: bool = False  #: the answer to the last request never came
    end: datetime = _NEVER  #: deadline for its outcome
    late: str = ""  #: the message at the deadline
    pause: float = 0.0  #: seconds between two polls
    lowest: int | None = None  #: lowest value of the measure that decreases with progress, and when it was reached
    moved: datetime = _NEVER

    def note(self, text: str) -> str:
        """A note for the journal, with the ids under which the services log the requests."""
        return f"{text} ({', '.join(self.ids)})" if self.ids else text

    @property
    def limit(self) -> float:
        """Seconds until its outcome must be visible: the plan's, else the operation's."""
        return self.call.operation.seconds or self.how.limit


class ApiExecutor:
    """Implements :class:`stackmend.model.protocols.Executor` for API calls. ``session`` is opened at the first use."""

    def __init__(self, session: Callable[[], Session], clock: Clock) -> None:
        self._open, self._clock = session, clock
        self._opened: tuple[Session, ApiReading] | None = None

    def ready(self) -> ApiReading:
        """Log in now, not halfway through the work; ConfigError or ApiError if that fails."""
        return self._tools()[1]

    def begin(self, step: CallStep, mark: str) -> StepResult | Pending:
        """Make the call, unless it was made already."""
        call = _call(step)
        operation, how = call.operation, implementation_of(call.operation)
        reading = self._tools()[1]
        if why := reading.lacks(how.of):
            raise ApiError(f"this cloud does not support it: {why}")
        try:
            picture = how.look(reading, operation)
        except SourceError as problem:
            return StepResult(StepState.FAILED, f"nothing was sent: {problem.message}. {problem.hint}".strip())
        state = how.judge(picture, operation)
        if state is StepState.DONE:
            return StepResult(StepState.DONE, "already done", already=True)
        requests = how.requests(operation)
        # a call already in progress, started by a dead process or by others, no longer matches the plan
        begun = state is StepState.INTENT and bool(requests)
        if not begun and (differs := difference(call.expect, picture)):
            return StepResult(StepState.STALE, f"nothing was sent: {differs}")
        attempt = _Try(how, call, mark, deque(requests), picture)
        if state is StepState.INTENT or not attempt.requests:
            attempt.requests.clear()
            return self._waiting(attempt, attempt.limit, "it was waited for")
        return self._next(attempt)

    def go_on(self, pending: Pending) -> StepResult | Pending:
        """Check whether the call has ended. An outcome that is not visible in time is in doubt."""
        attempt: _Try = pending.state
        state, picture = self._seen(attempt)
        if state is StepState.DONE:
            return StepResult(state, attempt.note("done"), not attempt.sent)
        if state is StepState.FAILED or (state is StepState.PLANNED and attempt.begun):
            began = "it was started and failed" if attempt.begun else "it failed"
            why = f"{began}: {_state_text(picture)}"
            if attempt.requests and _another(attempt.how, state):
                attempt.refused.append(why)
                return self._next(attempt)
            return self._failed(attempt, "; then ".join([*attempt.refused, why]))
        attempt.begun = attempt.begun or state is StepState.INTENT
        now = self._clock.now()
        if now >= attempt.end:
            return self._late(attempt, state, picture)
        if picture is not None:
            self._relieve(attempt, picture, now)
        attempt.pause = min(attempt.pause * 2, LAST_LOOK)
        return Pending(now + timedelta(seconds=attempt.pause), _state_text(picture), attempt)

    def probe(self, step: CallStep) -> StepState:
        """The outcome of a call, from live state."""
        call = _call(step)
        try:
            how = implementation_of(call.operation)
            return how.judge(how.look(self._tools()[1], call.operation), call.operation)
        except (SourceError, ApiError):
            return StepState.IN_DOUBT

    def close(self) -> None:
        """Close the session, if it was opened."""
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None

    def _tools(self) -> tuple[Session, ApiReading]:
        if self._opened is None:
            session = self._open()
            self._opened = session, ApiReading(session, self._clock)
        return self._opened

    # -- sending

    def _next(self, attempt: _Try) -> StepResult | Pending:
        """Try the remaining requests, until one is not refused."""
        while attempt.requests:
            found = self._made(attempt, attempt.requests.popleft())
            if isinstance(found, Pending) or found.state is not StepState.FAILED:
                return found
            attempt.refused.append(found.note)
        return StepResult(StepState.FAILED, "; then ".join(attempt.refused))

    def _made(self, attempt: _Try, request: Request) -> StepResult | Pending:
        """Send a request until the service has accepted or refused it."""
        attempt.begun = attempt.lost = attempt.relieved = False
        attempt.lowest = None
        for left in reversed(range(TRIES)):
            try:
                answer = self._tools()[0].send(attempt.how.aim(request, attempt.picture), attempt.mark)
            except UnsentError as problem:
                if not left:
                    return self._failed(attempt, f"nothing was sent: {problem.message}. {problem.hint}")
                self._clock.sleep(PAUSE)
                continue
            except LostError as problem:
                attempt.sent = True
                found = self._lost(attempt, problem.message, again=left > 0)
                if found is None:
                    continue
                return found
            attempt.ids += [name for name in answer.ids if name not in attempt.ids]
            outcome = self._answered(attempt, answer, left)
            if outcome is not None:
                return outcome
        return self._failed(attempt, f"{request.service} stayed busy until the time limit")

    def _answered(self, attempt: _Try, answer: Response, left: int) -> StepResult | Pending | None:
        """Interpret an answer; None to send the request again."""
        if answer.good:
            attempt.sent = True
            if fault := attempt.how.fault(answer.body):
                return self._failed(attempt, fault)
            attempt.begun = attempt.how.at_once
            return self._waiting(attempt, attempt.limit, f"accepted, but not done after {attempt.limit:.0f} s")
        words = f"{answer.status} {answer.words}".strip()
        if answer.status == 429 or answer.status == 413:
            if not left:
                return self._failed(attempt, f"refused: {words}")
            self._later(answer)
            return None
        if answer.status in BUSY or answer.status >= 500:
            return self._broken(attempt, answer, words, left)
        state, picture = self._seen(attempt)
        if state is StepState.DONE:
            return StepResult(
                StepState.DONE, attempt.note(f"already done, although refused: {words}"), not attempt.sent
            )
        if answer.status in (409, _CHANGED) and picture is not None:
            # somebody was faster: either the guard shows it, or a retry is worthwhile
            if differs := difference(attempt.call.expect, picture):
                return StepResult(StepState.STALE, attempt.note(f"{differs} ({words})"))
            if left and (answer.code == _RACE or answer.status == _CHANGED):
                attempt.picture = picture
                self._later(answer)
                return None
        advice = hint(answer)
        return self._failed(attempt, f"refused: {words}{f'. {advice}' if advice else ''}")

    def _later(self, answer: Response) -> None:
        self._clock.sleep(min(PAUSE if answer.after is None else answer.after, LONGEST_PAUSE))

    def _broken(self, attempt: _Try, answer: Response, words: str, left: int) -> StepResult | Pending | None:
        """The service, or a proxy in front of it, failed on the request, or is unavailable."""
        if answer.status == 503:
            state, _ = self._seen(attempt)
            if state is StepState.PLANNED and left:
                self._later(answer)
                return None
            if state is StepState.PLANNED:
                return self._failed(attempt, f"refused: {words}. {hint(answer)}")
        attempt.sent = True
        if answer.status == 500 and attempt.how.at_once and left:
            # it has answered, and accepted requests are visible by then: nothing was accepted, or it is over
            state, _ = self._seen(attempt)
            if state is StepState.PLANNED:
                self._later(answer)
                return None
        return self._lost(attempt, f"the service answered {words}", again=left > 0 and answer.status != 500)

    def _lost(self, attempt: _Try, why: str, *, again: bool) -> Pending | None:
        """It is unknown whether the request was received: check; None to send it again."""
        state, _ = self._seen(attempt)
        if state is StepState.PLANNED and attempt.how.again and again:
            self._clock.sleep(PAUSE)
            return None
        attempt.lost = True
        limit = attempt.limit if state is StepState.INTENT else min(LOST, attempt.limit)
        return self._waiting(attempt, limit, f"{why}; no effect is visible after {limit:.0f} s")

    # -- waiting

    def _waiting(self, attempt: _Try, limit: float, late: str) -> Pending:
        """Start polling."""
        now = self._clock.now()
        attempt.end, attempt.late, attempt.pause = now + timedelta(seconds=limit), late, FIRST_LOOK
        attempt.moved = now
        return Pending(now, "begun", attempt)

    def _late(self, attempt: _Try, state: StepState, picture: JsonObject | None) -> StepResult:
        note = attempt.note(f"{attempt.late}: {_state_text(picture)}")
        if attempt.lost and attempt.how.again and state is StepState.PLANNED:
            # a late effect is still the intended one; a new plan may request it again
            return StepResult(StepState.FAILED, note)
        waited = not attempt.how.requests(attempt.call.operation)
        return StepResult(StepState.FAILED if waited else StepState.IN_DOUBT, note)

    def _relieve(self, attempt: _Try, picture: JsonObject, now: datetime) -> None:
        """Send the remedy for a call that has stalled for too long, once; then continue waiting."""
        how, operation = attempt.how, attempt.call.operation
        stall = how.stall(operation)
        if how.marker is None or not stall or attempt.relieved:
            return
        # as Nova itself does: a busy guest's rewrites make it rise and fall forever
        marker = how.marker(picture)
        if marker is None or attempt.lowest is None or marker < attempt.lowest:
            attempt.lowest, attempt.moved = marker, now
        elif (now - attempt.moved).total_seconds() >= stall:
            request = how.relief(operation, picture)
            if request is not None:
                attempt.relieved = True
                attempt.ids += self._helped(request, attempt.mark)

    def _helped(self, request: Request, mark: str) -> list[str]:
        """Its result, for the note. It may be refused because the call progressed after all, or lost."""
        what = f"stalled: {request.method} {request.path}"
        try:
            answer = self._tools()[0].send(request, mark)
        except (UnsentError, LostError) as problem:
            return [f"{what}: {problem.message}"]
        return [what if answer.good else f"{what}: refused: {answer.status} {answer.words}".strip(), *answer.ids]

    def _seen(self, attempt: _Try) -> tuple[StepState, JsonObject | None]:
        """(its state, what was read); IN_DOUBT and None if the service does not answer."""
        try:
            picture = attempt.how.look(self._tools()[1], attempt.call.operation)
        except SourceError:
            return StepState.IN_DOUBT, None
        return attempt.how.judge(picture, attempt.call.operation), picture

    def _failed(self, attempt: _Try, why: str) -> StepResult:
        return StepResult(StepState.FAILED, attempt.note(why.rstrip(". ")), sent=attempt.sent)


def difference(expect: JsonObject, picture: JsonObject) -> str:
    """The first value that differs from the plan, in words, or ""."""
    for name, value in expect.items():
        now = picture.get(name)
        if now != value:
            return f"{name} is {now!r}, the plan expects {value!r}"
    return ""


def _another(how: Implementation[Any, Any], state: StepState) -> bool:
    """Whether the next request may be sent after one that was started and failed."""
    return how.again or (how.elsewhere and state is StepState.PLANNED)


def _state_text(picture: JsonObject | None) -> str:
    if picture is None:
        return "the service does not answer"
    return ", ".join(f"{name} {value}" for name, value in picture.items() if isinstance(value, str | int)) or "nothing"


def _call(step: CallStep) -> ApiCall:
    if isinstance(step, ApiCall):
        return step
    raise ApiError(f"{step.kind} is not an API call")
