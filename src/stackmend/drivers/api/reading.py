# SPDX-License-Identifier: Apache-2.0
"""Reads from the services: for operations, for repairs during planning, and to find out what a cloud lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stackmend.drivers.api.operations import implementation_of, implementations
from stackmend.model.api import ApiAccount, Request, Response, Versions
from stackmend.model.errors import ApiError, LostError, SourceError, UnsentError
from stackmend.model.operations import Operation, Seen
from stackmend.model.protocols import Clock, Session

#: number of retries of a read while a service is busy or does not answer
TRIES = 4
#: pause before the next try if the service gives none; the longest that it may give
PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: statuses of a service, or a proxy in front of it, that is busy or starting
BUSY = frozenset({413, 429, 502, 503, 504})


class ApiReading:
    """Implements :class:`stackmend.model.protocols.Api`, and the reader of operations."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session, self._clock = session, clock
        self.insisted = False
        self._lacking: dict[type[Operation[Any]], str] = {}
        self._versioned: set[str] = set()  #: services that are known to have microversions

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """The JSON of a resource, None if there is none (404). SourceError for anything else."""
        answer = self.ask(service, path, microversion)
        return None if answer is None else answer.body

    def ask(self, service: str, path: str, microversion: str = "") -> Response | None:
        """The answer with the JSON of a resource, as :meth:`get`."""
        request = Request(service=service, method="GET", path=path, microversion=microversion)
        answer = self._answer(request)
        if answer.status == 404:
            return None
        if not answer.good or answer.body is None:
            raise SourceError(
                f"{service} of cloud {self._session.name} answered {answer.status} to GET {path}"
                f"{f': {answer.words}' if answer.words else ''}",
                hint(answer),
            )
        return answer

    def reply(self, request: Request) -> Response:
        """The answer to a read-only request, whatever its status: consoles are read by POST, refusals are informative.

        SourceError if there is none.
        """
        return self._answer(request)

    def every(self, service: str, path: str, key: str, microversion: str = "") -> Iterator[Mapping[str, Any]]:
        """Every member of a collection, page by page; ``key`` is its name in the answer. SourceError as above."""
        endpoint = self._session.client(service)[1]
        at: str | None = path
        while at:
            body = self.get(service, at, microversion)
            if body is None:
                raise SourceError(f"{service} of cloud {self._session.name} has no {path.partition('?')[0]}")
            yield from body[key]
            links = body.get(f"{key}_links") or ()
            following = next((str(link["href"]) for link in links if link.get("rel") == "next"), "")
            following = following or str(body.get("next") or "")  # Glance's
            at = _below(following, endpoint, path) if following and body[key] else None

    def offers(self, service: str, microversion: str) -> bool:
        """Whether the service has this microversion."""
        offered = self._versions(service)
        return offered is not None and offered[0] <= version(microversion) <= offered[1]

    def _versions(self, service: str) -> Versions | None:
        """(lowest, highest) microversion of a service; None if it has none."""
        try:
            return self._session.versions(service)
        except ApiError as problem:
            raise SourceError(problem.message, problem.hint) from None

    def account(self) -> ApiAccount:
        """The account the services know us by; SourceError if it cannot be determined."""
        try:
            return self._session.account()
        except ApiError as problem:
            raise SourceError(problem.message, problem.hint) from None

    def look(self, operation: Operation[Seen]) -> Seen:
        """The current state that an operation sees."""
        found: Seen = implementation_of(operation).look(self, operation)
        return found

    def lacks(self, operation: type[Operation[Seen]]) -> str:
        """Why the cloud does not support the operation, or ""."""
        if operation not in self._lacking:
            self._lacking[operation] = self._missing(operation)
        return self._lacking[operation]

    def _missing(self, operation: type[Operation[Any]]) -> str:
        wanting = implementations()[operation]
        if not wanting.microversion:
            return ""
        offered = self._versions(operation.SERVICE)
        wanted = version(wanting.microversion)
        if offered is not None and offered[0] <= wanted <= offered[1]:
            return ""
        has = "none" if offered is None else f"{_text(offered[0])} to {_text(offered[1])}"
        instead = f" {wanting.lacking}" if wanting.lacking else ""
        return (
            f"{operation.NAME} needs microversion {wanting.microversion} of {operation.SERVICE}"
            f" ({wanting.release}), this cloud offers {has}.{instead}"
        )

    def _answer(self, request: Request) -> Response:
        """The answer to a read, which may be repeated freely."""
        for left in reversed(range(TRIES)):
            try:
                answer = self._session.send(request)
            except (UnsentError, LostError) as problem:
                if not left:
                    raise SourceError(problem.message, problem.hint) from None
                self._clock.sleep(PAUSE)
                continue
            # a failure on a read may be temporary; the answer to the last try is returned
            if (answer.status not in BUSY and answer.status != 500) or not left:
                self._heeded(request, answer)
                return answer
            self._clock.sleep(min(PAUSE if answer.after is None else answer.after, LONGEST_PAUSE))
        raise SourceError(f"{request.service} of cloud {self._session.name} does not answer")

    def _heeded(self, request: Request, answer: Response) -> None:
        """SourceError if the service knows no microversions: it answers all the same, in an older form.

        A 404 is an answer, too: a key pair of another user is not found by a service that ignores whose it is to be.
        """
        said = answer.good or answer.status == 404
        if not request.microversion or not said or request.service in self._versioned:
            return
        if self._versions(request.service) is None:
            raise SourceError(
                f"{request.service} of cloud {self._session.name} has no microversions: {request.method}"
                f" {request.path.partition('?')[0]} needs {request.microversion}",
                "Check whether clouds.yaml or the catalog names an endpoint of an older version of its API.",
            )
        self._versioned.add(request.service)


def version(text: str) -> tuple[int, int]:
    """ "2.53" as numbers."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _text(pair: tuple[int, int]) -> str:
    return f"{pair[0]}.{pair[1]}"


def hint(answer: Response) -> str:
    """A hint for a refusal."""
    if answer.status in (401, 403):
        return "The account of [api] cloud needs the role admin, and service for events to Nova and port bindings."
    if answer.status in BUSY:
        return "The service is busy or starting: try again later."
    return ""


def _below(link: str, endpoint: str, path: str) -> str:
    """The next page's link as a path below the endpoint, whose host the service may know by another name."""
    if link.startswith(endpoint):
        return link.removeprefix(endpoint)
    return f"{path.partition('?')[0]}?{link.partition('?')[2]}"
