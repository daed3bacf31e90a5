# SPDX-License-Identifier: Apache-2.0
"""Steps: what a repair asks for, as data. Only the runner executes them.

Values of row steps are canonical: ``None``, ``int``, ``float``, ``str`` or ``bytes``; times are text exactly as the
database prints them, so that undo restores the very same bytes.

A *database* is named as in :mod:`stackmend.model.snapshot`: ``nova_api``, ``cell:<name>``, ``neutron``, ``cinder``,
``placement``, ``glance``, ``keystone``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from stackmend.model.operations import ApiCall as ApiCall  # one of the steps

Value = None | int | float | str | bytes
Values = Mapping[str, Value]
Record = dict[str, Value]  #: one row: column -> value


class Risk(StrEnum):
    """How much consent a repair requires."""

    SAFE = "safe"  #: may run unattended
    UNSAFE = "unsafe"  #: requires consent by name
    MANUAL = "manual"  #: only printed, never run


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStep:
    """Base of the steps that change or guard one row."""

    kind: ClassVar[str] = ""
    changes: ClassVar[bool] = True  #: whether it changes something

    database: str
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRow(RowStep):
    """Set ``after`` on the row with primary key ``pk``, if every column of ``before`` still has its value.

    ``before`` must hold every column of ``after`` (it is the undo) and may hold more (they are guards).
    """

    kind: ClassVar[str] = "update"

    pk: Values
    before: Values
    after: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertRow(RowStep):
    """Insert ``values``, if no row matches ``key`` (columns that identify the new row).

    A primary key that the database assigns is left out of ``values``; the journal records it.
    """

    kind: ClassVar[str] = "insert"

    key: Values
    values: Values
    #: set only by undo: the secret columns of the deleted row, sealed by the journal
    sealed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRow(RowStep):
    """Delete the row with primary key ``pk``, if every column of ``before`` still has its value.

    ``before`` is the whole row except for secret columns, which the runner seals into the journal on deletion.
    """

    kind: ClassVar[str] = "delete"

    pk: Values
    before: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class BumpRow(RowStep):
    """Add ``by`` to the counter ``column`` (one for a provider's generation), whatever its value.

    It is relative, so that several repairs on one provider do not make each other stale. Undo subtracts one again if
    nobody else has counted since, otherwise it counts on: a generation never repeats for anybody who has seen it. A
    negative ``by`` returns something (a used quota): undo takes the same amount again, whatever the counter then is.
    """

    kind: ClassVar[str] = "bump"

    pk: Values
    column: str
    by: int = 1
    #: set only by undo: the value the run left in the counter. If it is unchanged, ``by`` is subtracted, else added
    left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectRow(RowStep):
    """A guard that changes nothing: the row ``pk`` must exist and have the values ``expect`` when the lane writes."""

    kind: ClassVar[str] = "expect"
    changes: ClassVar[bool] = False

    pk: Values
    expect: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectNone(RowStep):
    """A guard that changes nothing: no row may match ``where`` when the lane writes."""

    kind: ClassVar[str] = "expect-none"
    changes: ClassVar[bool] = False

    where: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCommand:
    """One command on a host, as an argument vector, with an optional probe and inverse.

    The exit code of the probe: 0 done, 1 to do, anything else undecided. Without a probe, a command whose end was not
    observed is in doubt. If ``argv`` is empty nothing is run: the step waits for the probe, even while the host does
    not answer.
    """

    kind: ClassVar[str] = "command"

    host: str  #: "" is this machine
    argv: tuple[str, ...]
    probe: tuple[str, ...] = ()
    inverse: tuple[str, ...] | None = None
    limit: float = 600.0  #: seconds after which it is ended
    back: bool = False  #: set only by undo: it reverts what its probe looks for, so 1 means done and 0 to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A point where a human decides: the lane continues when ``text`` is acknowledged."""

    kind: ClassVar[str] = "gate"

    name: str  #: referred to by the acknowledgement, unique within its plan
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """Something only a human can do: printed, never run."""

    kind: ClassVar[str] = "manual"

    text: str
    #: the finding may remain until it is done: the repair did its part and has not failed
    awaited: bool = False


Step = UpdateRow | InsertRow | DeleteRow | BumpRow | ExpectRow | ExpectNone | ApiCall | HostCommand | Gate | Manual

#: steps other than row steps, each carried out by an executor of its kind
CallStep = ApiCall | HostCommand | Gate

STEP_TYPES: dict[str, type[Any]] = {
    cls.kind: cls
    for cls in (UpdateRow, InsertRow, DeleteRow, BumpRow, ExpectRow, ExpectNone, ApiCall, HostCommand, Gate, Manual)
}


def irreversible(step: Step) -> bool:
    """True for a step that cannot be undone; the plan says so before anyone consents."""
    if isinstance(step, ApiCall):
        return step.inverse is None and not step.waits
    return isinstance(step, HostCommand) and bool(step.argv) and step.inverse is None


def writes(step: Step) -> bool:
    """True for a step that changes something (guards, gates and manual steps do not)."""
    return not isinstance(step, ExpectRow | ExpectNone | Gate | Manual)


class StepState(StrEnum):
    """The state of a step; *in doubt* is an intent without outcome after a crash."""

    PLANNED = "planned"
    INTENT = "intent"
    DONE = "done"
    STALE = "stale"
    FAILED = "failed"
    IN_DOUBT = "in doubt"
    HELD = "held"  #: a gate not acknowledged yet
