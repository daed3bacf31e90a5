# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the services: one type an operation, one module a service, found by walking this package.

A type says which arguments its operation takes and, by the parameter of :class:`Operation`, what it finds before it is
made: the values that the guards of a call are of. The drivers hold how it is carried out, by its type
(:mod:`stackmend.drivers.api.operations`). Plan files and journals hold its service, its name and its arguments.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args, get_origin, is_typeddict

from msgspec import UNSET, Struct, UnsetType, ValidationError, convert, to_builtins

Values = Mapping[str, object]
#: what an operation finds: a TypedDict; a value that was not looked at is not in it
Seen = TypeVar("Seen", bound=Values)
#: an argument that a call may do without: then it stands in no plan file
Seconds = int | float | UnsetType


class Operation(Struct, Generic[Seen], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that a service can do, with its arguments. The first argument names the object that is changed."""

    SERVICE: ClassVar[str]
    NAME: ClassVar[str]

    @property
    def arguments(self) -> Values:
        """The arguments as plan files hold them: JSON values in their order, without those that are not set."""
        found = to_builtins(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @property
    def seconds(self) -> float | None:
        """Its argument ``limit``: how long it may take. None where it has none: then its implementation says."""
        limit = getattr(self, "limit", UNSET)
        return None if limit is UNSET else float(limit)

    @property
    def changes(self) -> tuple[str, str]:
        """What it changes, ("port", its id): the first argument names it, whichever service is asked."""
        name, value = next(iter(self.arguments.items()))
        return name, str(value)

    def call(self, expect: Seen | None = None, inverse: ApiCall | None = None) -> ApiCall:
        """A call of it, made while what it finds reads ``expect``; ``inverse`` takes it back."""
        return ApiCall(operation=self, expect={} if expect is None else expect, inverse=inverse)


class Foreign(Operation[Values], frozen=True, kw_only=True):
    """What a file or a journal holds of another version, or of nobody: shown as it is, never carried out."""

    service: str
    name: str
    given: Values
    why: str  #: a sentence

    @property
    def arguments(self) -> Values:
        """The arguments as they were found."""
        return self.given


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One call of a service's API, with its inverse where there is one.

    ``expect`` is the guard: what the operation finds just before it is made must still read so. Both are typed where
    :meth:`Operation.call` makes it.
    """

    kind: ClassVar[str] = "api"

    operation: Operation[Any]
    expect: Values = field(default_factory=dict)
    inverse: ApiCall | None = None
    waits: bool = False  #: nothing is sent, its outcome is only waited for; the planner finds that out

    @property
    def service(self) -> str:
        """The service that is asked: "compute"."""
        return self.operation.service if isinstance(self.operation, Foreign) else self.operation.SERVICE

    @property
    def name(self) -> str:
        """The name of the operation: "live-migrate"."""
        return self.operation.name if isinstance(self.operation, Foreign) else self.operation.NAME

    @property
    def arguments(self) -> Values:
        """The arguments of the operation as plan files hold them."""
        return self.operation.arguments

    @property
    def fault(self) -> str:
        """Why this version cannot make it, or ""."""
        if isinstance(self.operation, Foreign):
            return self.operation.why
        return _unlike(self.expect, seen(type(self.operation)), f"a guard of {self.name} of {self.service}")


def call_of(
    service: str, name: str, arguments: Values, expect: Values, inverse: ApiCall | None, waits: bool
) -> ApiCall:
    """The call that a file or a journal holds; :attr:`ApiCall.fault` tells where it is none of this version."""
    return ApiCall(operation=operation_of(service, name, arguments), expect=expect, inverse=inverse, waits=waits)


def operation_of(service: str, name: str, arguments: Values) -> Operation[Any]:
    """The operation of this name with its arguments; :class:`Foreign` where this version has none such."""
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
    """What an operation finds: the parameter that its type, or the one it is made of, gives :class:`Operation`."""
    return cast("type[Seen]", next(_parameters(of), dict))


def _parameters(of: type) -> Iterator[type]:
    for base in getattr(of, "__orig_bases__", ()):
        yield from (one for one in get_args(base) if is_typeddict(one))
        yield from _parameters(get_origin(base) or base)


def _unlike(values: Values, of: type, what: str) -> str:
    """Why values are none of a type, or "": nothing may be lacking, of another type, or too much."""
    try:
        found: object = convert(values, of)
    except ValidationError as problem:
        return f"{what}: {problem}"
    read = found.arguments if isinstance(found, Operation) else cast("Values", found)
    other = next((name for name, value in values.items() if name not in read or read[name] != value), None)
    return f"{what}: it does not take {other} {values[other]!r}" if other is not None else ""
