# SPDX-License-Identifier: Apache-2.0
"""The operations that services can be asked for: one type per operation, one module per service, found by walking.

A type declares the arguments of its operation and, by the parameter of :class:`Operation`, the state that the operation
reads before it sends anything: the values that the guards of a call refer to. How an operation is carried out is up to
the drivers, by type (:mod:`stackmend.drivers.api.operations`). Plan files and journals hold its service, name and
arguments.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args, get_origin, is_typeddict

from msgspec import UNSET, Struct, UnsetType, ValidationError, convert, to_builtins

JsonObject = Mapping[str, object]
#: the state an operation reads: a TypedDict; values that were not read are absent
Seen = TypeVar("Seen", bound=JsonObject)
#: an optional argument; if unset, it is left out of plan files
OptionalSeconds = int | float | UnsetType


class Operation(Struct, Generic[Seen], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operation of a service, with its arguments. The first argument names the object to change."""

    SERVICE: ClassVar[str]
    NAME: ClassVar[str]

    @property
    def arguments(self) -> JsonObject:
        """The arguments as in plan files: JSON values in order, without those that are unset."""
        found = to_builtins(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @property
    def seconds(self) -> float | None:
        """Its argument ``limit``: the time it may take. None if it has none: then the implementation decides."""
        limit = getattr(self, "limit", UNSET)
        return None if limit is UNSET else float(limit)

    @property
    def changes(self) -> tuple[str, str]:
        """The object it changes, e.g. ("port", its id), from the first argument."""
        name, value = next(iter(self.arguments.items()))
        return name, str(value)

    def call(self, expect: Seen | None = None, inverse: ApiCall | None = None) -> ApiCall:
        """A call of this operation, sent only while the state it reads equals ``expect``; ``inverse`` undoes it."""
        return ApiCall(operation=self, expect={} if expect is None else expect, inverse=inverse)


class Foreign(Operation[JsonObject], frozen=True, kw_only=True):
    """An operation in a file or journal that this version does not know: shown as it is, never carried out."""

    service: str
    name: str
    given: JsonObject
    why: str  #: the reason, as a sentence

    @property
    def arguments(self) -> JsonObject:
        """The arguments as read."""
        return self.given


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One call of a service's API, with its inverse if there is one.

    ``expect`` is the guard: the state that the operation reads just before sending must still match it. A call made by
    :meth:`Operation.call` has both typed.
    """

    kind: ClassVar[str] = "api"

    operation: Operation[Any]
    expect: JsonObject = field(default_factory=dict)
    inverse: ApiCall | None = None
    waits: bool = False  #: nothing is sent, only the outcome is awaited; set by the planner

    @property
    def service(self) -> str:
        """The service to call: "compute"."""
        return self.operation.service if isinstance(self.operation, Foreign) else self.operation.SERVICE

    @property
    def name(self) -> str:
        """The name of the operation: "live-migrate"."""
        return self.operation.name if isinstance(self.operation, Foreign) else self.operation.NAME

    @property
    def arguments(self) -> JsonObject:
        """The arguments of the operation as in plan files."""
        return self.operation.arguments

    @property
    def fault(self) -> str:
        """Why this version cannot carry it out, or ""."""
        if isinstance(self.operation, Foreign):
            return self.operation.why
        return _unlike(self.expect, seen(type(self.operation)), f"a guard of {self.name} of {self.service}")


def call_of(
    service: str, name: str, arguments: JsonObject, expect: JsonObject, inverse: ApiCall | None, waits: bool
) -> ApiCall:
    """The call in a file or a journal; :attr:`ApiCall.fault` says why this version cannot carry it out."""
    return ApiCall(operation=operation_of(service, name, arguments), expect=expect, inverse=inverse, waits=waits)


def operation_of(service: str, name: str, arguments: JsonObject) -> Operation[Any]:
    """The operation with this name and these arguments; :class:`Foreign` if this version has none such."""
    of = types().get((service, name))
    if of is None:
        why = f"there is no operation {name} of {service}"
    elif not (why := _unlike(arguments, of, f"{name} of {service}")):
        made: Operation[Any] = convert(arguments, of)
        return made
    return Foreign(service=service, name=name, given=arguments, why=why)


@cache
def types() -> Mapping[tuple[str, str], type[Operation[Any]]]:
    """(service, name) -> type of every operation."""
    found: dict[tuple[str, str], type[Operation[Any]]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for one in vars(module).values():
            if not (isinstance(one, type) and issubclass(one, Operation) and "NAME" in vars(one)):
                continue
            if (other := found.setdefault((one.SERVICE, one.NAME), one)) is not one:
                raise TypeError(f"{one.__name__} and {other.__name__} are both {one.NAME} of {one.SERVICE}")
    return found


@cache
def seen(of: type[Operation[Seen]]) -> type[Seen]:
    """The type of the state that an operation reads: the parameter that it or a base gives to :class:`Operation`."""
    return cast("type[Seen]", next(_parameters(of), dict))


def _parameters(of: type) -> Iterator[type]:
    for base in getattr(of, "__orig_bases__", ()):
        yield from (one for one in get_args(base) if is_typeddict(one))
        yield from _parameters(get_origin(base) or base)


def _unlike(values: JsonObject, of: type, what: str) -> str:
    """Why the values do not fit a type, or "": no member may be missing, of another type, or unknown."""
    try:
        found: object = convert(values, of)
    except ValidationError as problem:
        return f"{what}: {problem}"
    read = found.arguments if isinstance(found, Operation) else cast("JsonObject", found)
    other = next((name for name, value in values.items() if name not in read or read[name] != value), None)
    return f"{what}: it does not take {other} {values[other]!r}" if other is not None else ""
