# SPDX-License-Identifier: Apache-2.0
"""How operations are carried out, one module per service or more, found by walking this package.

What may be asked, with which arguments and what is found then, is :mod:`stackmend.model.operations`. An implementation
is stateless: what to send, what to look at, and how to tell from that whether it is to do, under way, done or failed.
:mod:`stackmend.drivers.api.executor` carries it out.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from stackmend.drivers.api.session import Answer, Request
from stackmend.model.errors import ApiError
from stackmend.model.operations import ApiCall, Foreign, Operation, Seen
from stackmend.model.step import StepState

Asked = TypeVar("Asked", bound=Operation[Any])


class OfServer(Protocol):
    """An operation on a server."""

    @property
    def server(self) -> str:
        """Its id."""
        ...


class ResourceReader(Protocol):
    """Reads one resource."""

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """Its JSON, or None if the service says that there is none (404). SourceError for anything else."""
        ...

    def every(self, service: str, path: str, key: str, microversion: str = "") -> Iterator[Mapping[str, Any]]:
        """Every member of a collection, page by page. SourceError as above."""
        ...

    def reply(self, request: Request) -> Answer:
        """The answer to a request that only reads, whatever its status; SourceError if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation(Generic[Asked, Seen]):
    """How one operation is carried out."""

    of: type[Asked]
    #: what is sent; a second request only where the first one surely failed. None: it is only waited for
    requests: Callable[[Asked], Sequence[Request]]
    look: Callable[[ResourceReader, Asked], Seen]
    #: PLANNED (to do), INTENT (under way), DONE or FAILED
    judge: Callable[[Seen, Asked], StepState]
    microversion: str = ""  #: the lowest that has it
    release: str = "Train or before"  #: the first release that has it
    again: bool  #: may be sent a second time when nobody knows whether the first one was received
    limit: float = 120  #: seconds until its outcome must be seen
    lacking: str = ""  #: what an old cloud should do instead
    fault: Callable[[Any], str] = lambda _body: ""  #: why an answer that looks good is none
    waits: str = ""  #: what is waited for, if nothing is sent: a text with the arguments in braces
    #: what it was accepted for can be seen before the answer comes: accepted, and still to do, is a failure
    at_once: bool = False
    #: the next request is sent, too, where the one before was begun and all is as it was before it; what may be sent
    #: twice goes on after any failure
    elsewhere: bool = False
    #: completes a request with what was seen just before, where its arguments alone do not name the object
    aim: Callable[[Request, Seen], Request] = lambda request, _seen: request
    #: what falls while it makes progress, None while that cannot be seen; where it has not fallen below its lowest for
    #: ``stall`` seconds, ``relief`` is sent
    marker: Callable[[Seen], int | None] | None = None
    stall: Callable[[Asked], float | None] = lambda _asked: None
    relief: Callable[[Asked, Seen], Request | None] = lambda _asked, _seen: None


def nothing(_: object) -> list[Request]:
    """What is sent where an outcome is only waited for."""
    return []


@cache
def implementations() -> Mapping[type[Operation[Any]], Implementation[Any, Any]]:
    """Type of an operation -> how it is carried out."""
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
    """How an operation is carried out; ApiError for one that this version does not know."""
    if isinstance(operation, Foreign):
        raise ApiError(operation.why, "The plan was made by another version of stackmend: create a new one.")
    return implementations()[type(operation)]


def waits(call: ApiCall) -> bool:
    """Whether nothing is sent for it."""
    return not (isinstance(call.operation, Foreign) or implementation_of(call.operation).requests(call.operation))


def describe(call: ApiCall) -> str:
    """The call as a human reads it: method, path, body and microversion of each request, then its guards."""
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
    return f"{request.method} {request.path}{body}"
