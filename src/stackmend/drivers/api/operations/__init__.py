# SPDX-License-Identifier: Apache-2.0
"""How operations are carried out: one or more modules per service, found by walking this package.

:mod:`stackmend.model.operations` defines the operations with their arguments and the state they read. An implementation
is stateless: what to send, what to read, and how to judge from that whether the call is to do, in progress, done or
failed. :mod:`stackmend.drivers.api.executor` carries it out.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from stackmend.drivers.api.session import Request, Response
from stackmend.model.errors import ApiError
from stackmend.model.operations import ApiCall, Foreign, Operation, Seen
from stackmend.model.step import StepState

Asked = TypeVar("Asked", bound=Operation[Any])


class OfServer(Protocol):
    """An operation with a server."""

    @property
    def server(self) -> str:
        """Its id."""
        ...


class ResourceReader(Protocol):
    """Reads resources."""

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """The JSON of a resource, or None if the service says there is none (404). SourceError for anything else."""
        ...

    def every(self, service: str, path: str, key: str, microversion: str = "") -> Iterator[Mapping[str, Any]]:
        """Every member of a collection, page by page. SourceError as above."""
        ...

    def reply(self, request: Request) -> Response:
        """The response to a read-only request, whatever its status; SourceError if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation(Generic[Asked, Seen]):
    """How one operation is carried out."""

    of: type[Asked]
    #: the requests; a second one is sent only if the first certainly failed. None: the outcome is only awaited
    requests: Callable[[Asked], Sequence[Request]]
    look: Callable[[ResourceReader, Asked], Seen]
    #: PLANNED (to do), INTENT (in progress), DONE or FAILED
    judge: Callable[[Seen, Asked], StepState]
    microversion: str = ""  #: the lowest that supports it
    release: str = "Train or before"  #: the first release that supports it
    again: bool  #: may be sent again if it is unknown whether the first request was received
    limit: float = 120  #: seconds until its outcome must be visible
    lacking: str = ""  #: what to do instead in a cloud that lacks it
    fault: Callable[[Any], str] = lambda _body: ""  #: the error in a response with a success status, or ""
    waits: str = ""  #: if nothing is sent, what is awaited: a text with the arguments in braces
    #: an accepted request is visible before its response arrives: if it is still to do then, it has failed
    at_once: bool = False
    #: the next request is also sent if the one before was started and the state is as before it; without this, only
    #: requests that may be repeated continue after a failure
    elsewhere: bool = False
    #: completes a request with the state read just before, if its arguments do not identify the object
    aim: Callable[[Request, Seen], Request] = lambda request, _seen: request
    #: a measure that decreases with progress, None while it is not visible; if it has not fallen below its minimum for
    #: ``stall`` seconds, ``relief`` is sent
    marker: Callable[[Seen], int | None] | None = None
    stall: Callable[[Asked], float | None] = lambda _asked: None
    relief: Callable[[Asked, Seen], Request | None] = lambda _asked, _seen: None


def nothing(_: object) -> list[Request]:
    """The requests of an operation that only waits."""
    return []


@cache
def implementations() -> Mapping[type[Operation[Any]], Implementation[Any, Any]]:
    """Each type of operation with its implementation."""
    found: dict[type[Operation[Any]], Implementation[Any, Any]] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if info.name.startswith("_"):
            continue
        for one in importlib.import_module(f"{__name__}.{info.name}").OPERATIONS:
            if one.of in found:
                raise ApiError(f"there are two implementations of {one.of.NAME} of {one.of.SERVICE}")
            found[one.of] = one
    return found


def implementation_of(operation: Operation[Any]) -> Implementation[Any, Any]:
    """The implementation of an operation; ApiError for one unknown to this version."""
    if isinstance(operation, Foreign):
        raise ApiError(operation.why, "The plan was made by another version of stackmend: create a new one.")
    return implementations()[type(operation)]


def waits(call: ApiCall) -> bool:
    """Whether nothing is sent for the call."""
    return not (isinstance(call.operation, Foreign) or implementation_of(call.operation).requests(call.operation))


def describe(call: ApiCall) -> str:
    """The call in human-readable form: method, path, body and microversion of each request, then its guards."""
    if isinstance(call.operation, Foreign):
        arguments = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
        return f"[{call.service} API] {call.name}({arguments})"
    found = implementation_of(call.operation)
    requests = found.requests(call.operation)
    otherwise = "; if that fails: " if found.elsewhere else "; if that is refused: "
    what = otherwise.join(_request(request) for request in requests)
    guards = ", ".join(f"{name} = {json.dumps(value)}" for name, value in call.expect.items())
    return (
        f"[{call.service} API] {what or found.waits.format(**call.arguments)}"
        f"{f' (microversion {found.microversion})' if found.microversion else ''}"
        f"{f' if {guards}' if guards else ''}"
    )


def _request(request: Request) -> str:
    body = "" if request.body is None else f" {json.dumps(request.body)}"
    return f"{request.method} {request.endpoint}{request.path}{body}"
