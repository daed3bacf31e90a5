# SPDX-License-Identifier: Apache-2.0
"""Carries out API calls: looks, compares, sends once, and waits until the outcome can be seen.

A request is repeated only where the service has surely not taken it (no connection, 429, 503 with nothing begun), or
where taking it twice does no harm. Where the answer was lost the live state is asked; where that does not tell, the
step is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from stackmend.drivers.api.operations import Operation, Picture, operation_of
from stackmend.drivers.api.reading import BUSY, LONGEST_PAUSE, PAUSE, TRIES, ApiReading, hint
from stackmend.drivers.api.session import Answer, ApiSession, LostError, Request, UnsentError
from stackmend.model.errors import ApiError, SourceError
from stackmend.model.ports import Clock
from stackmend.model.step import ApiCall, HostCommand, StepState
from stackmend.model.writer import Outcome

#: seconds in which a request whose answer was lost must show, before the step is in doubt
LOST = 30.0
#: Placement's word for a race over a provider that it lost
_RACE = "placement.concurrent_update"
#: seconds between two looks: at first, and at most
FIRST_LOOK, LAST_LOOK = 0.25, 5.0


@dataclass(slots=True)
class _Try:
    """A call on its way."""

    operation: Operation
    call: ApiCall
    mark: str
    ids: list[str] = field(default_factory=list)  #: the services' names of its requests
    sent: bool = False  #: a request may have been received

    def note(self, text: str) -> str:
        """A note for the journal, with the ids under which the services log the requests."""
        return f"{text} ({', '.join(self.ids)})" if self.ids else text


class ApiExecutor:
    """Implements :class:`stackmend.model.writer.Executor` for API calls. ``session`` is opened at the first use."""

    def __init__(self, session: Callable[[], ApiSession], clock: Clock) -> None:
        self._open, self._clock = session, clock
        self._opened: tuple[ApiSession, ApiReading] | None = None

    def ready(self) -> ApiReading:
        """Sign in now, not when half of the work is done; ConfigError or ApiError where that fails."""
        return self._tools()[1]

    def do(self, step: ApiCall | HostCommand, mark: str) -> Outcome:
        """Make the call and wait for its outcome."""
        call = _call(step)
        operation = operation_of(call)
        reading = self._tools()[1]
        if why := reading.lacks(operation.service, operation.name):
            raise ApiError(f"this cloud cannot do it: {why}")
        try:
            picture = operation.look(reading, call.arguments)
        except SourceError as problem:
            return Outcome(StepState.FAILED, f"nothing was sent: {problem.message}. {problem.hint}".strip())
        state = operation.judge(picture, call.arguments)
        if state is StepState.DONE:
            return Outcome(StepState.DONE, "done already", already=True)
        if differs := unlike(call.expect, picture):
            return Outcome(StepState.STALE, f"nothing was sent: {differs}")
        attempt = _Try(operation, call, mark)
        requests = operation.requests(call.arguments)
        if state is StepState.INTENT or not requests:
            return self._wait(attempt, operation.limit, "it was waited for")
        refused = []
        for request in requests:
            outcome = self._made(attempt, request)
            if outcome.state is not StepState.FAILED:
                return outcome
            refused.append(outcome.note)
        return Outcome(StepState.FAILED, "; then ".join(refused))

    def probe(self, step: ApiCall | HostCommand) -> StepState:
        """What became of a call, from live state; one that is under way is waited for."""
        call = _call(step)
        try:
            operation = operation_of(call)
            state = operation.judge(operation.look(self._tools()[1], call.arguments), call.arguments)
        except (SourceError, ApiError):
            return StepState.IN_DOUBT
        if state is not StepState.INTENT:
            return state
        return self._wait(_Try(operation, call, "", sent=True), operation.limit, "").state

    def close(self) -> None:
        """Close the session, if it was opened."""
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None

    def _tools(self) -> tuple[ApiSession, ApiReading]:
        if self._opened is None:
            session = self._open()
            self._opened = session, ApiReading(session, self._clock)
        return self._opened

    # -- sending

    def _made(self, attempt: _Try, request: Request) -> Outcome:
        """Send a request until the service has taken or refused it; then wait."""
        for left in reversed(range(TRIES)):
            try:
                answer = self._tools()[0].send(request, attempt.mark)
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
        return self._failed(attempt, f"{request.service} was busy to the end")

    def _answered(self, attempt: _Try, answer: Answer, left: int) -> Outcome | None:
        """What an answer means; None to send the request again."""
        if answer.good:
            attempt.sent = True
            if fault := attempt.operation.fault(answer.body):
                return self._failed(attempt, fault)
            return self._wait(attempt, attempt.operation.limit, "accepted, but not done after {limit:.0f} s")
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
            return Outcome(StepState.DONE, attempt.note(f"done already, though refused: {words}"), not attempt.sent)
        if answer.status == 409 and picture is not None:
            # somebody was faster: either the guard tells, or it is worth another try
            if differs := unlike(attempt.call.expect, picture):
                return Outcome(StepState.STALE, attempt.note(f"{differs} ({words})"))
            if left and answer.code == _RACE:
                self._later(answer)
                return None
        advice = hint(answer)
        return self._failed(attempt, f"refused: {words}{f'. {advice}' if advice else ''}")

    def _later(self, answer: Answer) -> None:
        self._clock.sleep(min(PAUSE if answer.after is None else answer.after, LONGEST_PAUSE))

    def _broken(self, attempt: _Try, answer: Answer, words: str, left: int) -> Outcome | None:
        """The service, or a proxy before it, broke down over the request, or is not there."""
        if answer.status == 503:
            state, _ = self._seen(attempt)
            if state is StepState.PLANNED and left:
                self._later(answer)
                return None
            if state is StepState.PLANNED:
                return self._failed(attempt, f"refused: {words}. {hint(answer)}")
        attempt.sent = True
        return self._lost(attempt, f"the service answered {words}", again=left > 0 and answer.status != 500)

    def _lost(self, attempt: _Try, why: str, *, again: bool) -> Outcome | None:
        """Nobody knows whether the request was received: look; None to send it again."""
        state, _ = self._seen(attempt)
        if state is StepState.PLANNED and attempt.operation.again and again:
            self._clock.sleep(PAUSE)
            return None
        limit = attempt.operation.limit if state is StepState.INTENT else min(LOST, attempt.operation.limit)
        outcome = self._wait(attempt, limit, f"{why}; nothing of it can be seen after {{limit:.0f}} s")
        if (
            outcome.state is StepState.IN_DOUBT
            and attempt.operation.again
            and self._seen(attempt)[0] is StepState.PLANNED
        ):
            # if it comes late, it does what was wanted; a new plan may ask for it once more
            return Outcome(StepState.FAILED, outcome.note)
        return outcome

    # -- waiting

    def _wait(self, attempt: _Try, limit: float, late: str) -> Outcome:
        """Look until it is over. Whatever cannot be seen in time is in doubt."""
        end = self._clock.now() + timedelta(seconds=limit)
        pause, begun = FIRST_LOOK, False
        while True:
            state, picture = self._seen(attempt)
            if state is StepState.DONE:
                return Outcome(state, attempt.note("done"), not attempt.sent)
            if state is StepState.FAILED:
                return self._failed(attempt, f"it came to nothing: {_told(picture)}")
            if state is StepState.PLANNED and begun:
                return self._failed(attempt, f"it was begun and came to nothing: {_told(picture)}")
            begun = begun or state is StepState.INTENT
            if self._clock.now() >= end:
                return Outcome(StepState.IN_DOUBT, attempt.note(f"{late.format(limit=limit)}: {_told(picture)}"))
            self._clock.sleep(pause)
            pause = min(pause * 2, LAST_LOOK)

    def _seen(self, attempt: _Try) -> tuple[StepState, Picture | None]:
        """(its state, what was seen); IN_DOUBT and None where the service does not say."""
        try:
            picture = attempt.operation.look(self._tools()[1], attempt.call.arguments)
        except SourceError:
            return StepState.IN_DOUBT, None
        return attempt.operation.judge(picture, attempt.call.arguments), picture

    def _failed(self, attempt: _Try, why: str) -> Outcome:
        return Outcome(StepState.FAILED, attempt.note(why.rstrip(". ")))


def unlike(expect: Mapping[str, Any], picture: Mapping[str, Any]) -> str:
    """The first value that is not as planned, in words, or ""."""
    for name, value in expect.items():
        now = picture.get(name)
        if now != value:
            return f"{name} is {now!r}, planned was {value!r}"
    return ""


def _told(picture: Picture | None) -> str:
    if picture is None:
        return "the service does not answer"
    return ", ".join(f"{name} {value}" for name, value in picture.items() if isinstance(value, str | int)) or "nothing"


def _call(step: ApiCall | HostCommand) -> ApiCall:
    if isinstance(step, ApiCall):
        return step
    raise ApiError(f"{step.kind} is no call of an API")
