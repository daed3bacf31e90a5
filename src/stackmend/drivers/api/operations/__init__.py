# SPDX-License-Identifier: Apache-2.0
"""What may be asked of a service, one module a service, found by walking this package.

An operation is stateless: what to send, what to look at, and how to tell from that whether it is to do, under way,
done or failed. :mod:`stackmend.drivers.api.executor` carries it out.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from stackmend.drivers.api.session import Answer, Request
from stackmend.model.errors import ApiError
from stackmend.model.step import ApiCall, StepState

Arguments = Mapping[str, Any]
#: what an operation finds: flat, JSON values
Picture = Mapping[str, Any]


class Reader(Protocol):
    """Reads one resource."""

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """Its JSON, or None where the service says that there is none (404). SourceError for anything else."""
        ...

    def every(self, service: str, path: str, key: str, microversion: str = "") -> Iterator[Mapping[str, Any]]:
        """Every member of a collection, page by page. SourceError as above."""
        ...

    def reply(self, request: Request) -> Answer:
        """The answer to a request that only reads, whatever its status; SourceError where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that a service can do."""

    service: str
    name: str
    #: what is sent; a second request only where the first one surely came to nothing. None: it is only waited for
    requests: Callable[[Arguments], Sequence[Request]]
    look: Callable[[Reader, Arguments], Picture]
    #: PLANNED (to do), INTENT (under way), DONE or FAILED
    judge: Callable[[Picture, Arguments], StepState]
    microversion: str = ""  #: the lowest that has it
    release: str = "Train or before"  #: the first release that has it
    again: bool  #: may be sent a second time when nobody knows whether the first one was received
    limit: float = 120  #: seconds until its outcome must be seen
    lacking: str = ""  #: what an old cloud should do instead
    fault: Callable[[Any], str] = lambda _body: ""  #: why an answer that looks good is none
    waits: str = ""  #: what is waited for, where nothing is sent: a text with the arguments in braces
    #: what it was accepted for can be seen before the answer comes: accepted, and still to do, is a failure
    at_once: bool = False
    #: the next request is sent, too, where the one before was begun and all is as it was before it; what may be sent
    #: twice goes on after any failure
    elsewhere: bool = False
    #: completes a request with what was seen just before, where its arguments alone do not name the object
    aim: Callable[[Request, Picture], Request] = lambda request, _picture: request
    #: what falls while it makes progress, None while that cannot be seen; where it has not fallen below its lowest for
    #: ``arguments["stall"]`` seconds, ``relief`` is sent
    marker: Callable[[Picture], int | None] | None = None
    relief: Callable[[Arguments, Picture], Request | None] = lambda _arguments, _picture: None


@cache
def operations() -> Mapping[tuple[str, str], Operation]:
    """(service, name) -> operation."""
    found: dict[tuple[str, str], Operation] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if info.name.startswith("_"):
            continue
        for operation in importlib.import_module(f"{__name__}.{info.name}").OPERATIONS:
            key = (operation.service, operation.name)
            if key in found:
                raise ApiError(f"there are two operations {operation.name} of {operation.service}")
            found[key] = operation
    return found


def operation_of(call: ApiCall) -> Operation:
    """The operation of a call; ApiError for one that this version does not know."""
    found = operations().get((call.service, call.operation))
    if found is None:
        raise ApiError(
            f"there is no operation {call.operation} of {call.service}",
            "The plan is of another version of stackmend: make a new one.",
        )
    return found


def waits(call: ApiCall) -> bool:
    """Whether nothing is sent for it."""
    found = operations().get((call.service, call.operation))
    return found is not None and not found.requests(call.arguments)


def describe(call: ApiCall) -> str:
    """The call as a human reads it: method, path, body and microversion of each request, then its guards."""
    found = operations().get((call.service, call.operation))
    if found is None:
        arguments = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
        return f"[{call.service} API] {call.operation}({arguments})"
    requests = found.requests(call.arguments)
    otherwise = "; if that comes to nothing: " if found.elsewhere else "; if that is refused: "
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
