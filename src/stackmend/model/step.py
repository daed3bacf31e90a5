# SPDX-License-Identifier: Apache-2.0
"""What a repair asks for: steps as data. Nobody but the runner executes them.

Values of row steps are canonical: ``None``, ``int``, ``float``, ``str`` or ``bytes``; times are text exactly as the
database prints them, so that undo gives back the very bytes.

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
    """How much consent a repair wants."""

    SAFE = "safe"  #: may run unattended
    UNSAFE = "unsafe"  #: wants consent by name
    MANUAL = "manual"  #: printed, never run


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStep:
    """Base of the steps that touch or guard one row."""

    kind: ClassVar[str] = ""

    database: str
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRow(RowStep):
    """Set ``after`` on the row with primary key ``pk``, provided every column of ``before`` still reads so.

    ``before`` must hold every column of ``after`` (it is the undo) and may hold more (they are guards).
    """

    kind: ClassVar[str] = "update"

    pk: Values
    before: Values
    after: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertRow(RowStep):
    """Insert ``values``, provided that no row matches ``key`` (columns that identify the new row).

    A primary key that the database assigns is left out of ``values``; the journal notes the one it got.
    """

    kind: ClassVar[str] = "insert"

    key: Values
    values: Values
    #: only undo sets it: the secret columns of the row that was deleted, sealed by the journal
    sealed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRow(RowStep):
    """Delete the row with primary key ``pk``, provided every column of ``before`` still reads so.

    ``before`` is the whole row but for secret columns, which the runner seals into the journal when it deletes.
    """

    kind: ClassVar[str] = "delete"

    pk: Values
    before: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class BumpRow(RowStep):
    """Add ``by`` to the counter ``column`` (one to a provider's generation), whatever it is now.

    Relative, so that many repairs of one provider do not make each other stale. Undo takes the one away again while
    nobody else has counted, else it counts on: a generation never repeats for anybody who has seen it. A negative
    ``by`` gives something back (a used quota): undo takes that much again, whatever the counter is then.
    """

    kind: ClassVar[str] = "bump"

    pk: Values
    column: str
    by: int = 1
    #: only undo sets it: what the run left in the counter. While it still reads so, ``by`` is taken away again, else
    #: it is counted on
    left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectRow(RowStep):
    """A guard that changes nothing: the row ``pk`` must exist and read ``expect`` when the lane's writes are made."""

    kind: ClassVar[str] = "expect"

    pk: Values
    expect: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectNone(RowStep):
    """A guard that changes nothing: no row may match ``where`` when the lane's writes are made."""

    kind: ClassVar[str] = "expect-none"

    where: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCommand:
    """One command on a host, as an argument vector, with a probe and an inverse where there is one.

    The probe tells by its exit code: 0 done, 1 to do, anything else cannot tell. Without a probe a command whose end
    was not seen is in doubt. Where ``argv`` is empty nothing is run: the probe is waited for, also while the host does
    not answer.
    """

    kind: ClassVar[str] = "command"

    host: str  #: "" is this machine
    argv: tuple[str, ...]
    probe: tuple[str, ...] = ()
    inverse: tuple[str, ...] | None = None
    limit: float = 600.0  #: seconds until it must have ended
    back: bool = False  #: only undo sets it: it takes back what its probe looks for, so 1 means done and 0 to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A place where a human decides: the lane goes on when ``text`` is acknowledged."""

    kind: ClassVar[str] = "gate"

    name: str  #: what an acknowledgement refers to, unique in its plan
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """Something only a human can do: printed, never run."""

    kind: ClassVar[str] = "manual"

    text: str
    #: until it is done the finding may stand: the repair has done its part, and has not failed
    awaited: bool = False


Step = UpdateRow | InsertRow | DeleteRow | BumpRow | ExpectRow | ExpectNone | ApiCall | HostCommand | Gate | Manual

#: steps that are not about rows, each done by an executor of its kind
CallStep = ApiCall | HostCommand | Gate

STEP_TYPES: dict[str, type[Any]] = {
    cls.kind: cls
    for cls in (UpdateRow, InsertRow, DeleteRow, BumpRow, ExpectRow, ExpectNone, ApiCall, HostCommand, Gate, Manual)
}


def irreversible(step: Step) -> bool:
    """True for a step that nothing can take back; the plan says so before anyone consents."""
    if isinstance(step, ApiCall):
        return step.inverse is None and not step.waits
    return isinstance(step, HostCommand) and bool(step.argv) and step.inverse is None


def writes(step: Step) -> bool:
    """True for a step that changes something (guards, gates and manual steps do not)."""
    return not isinstance(step, ExpectRow | ExpectNone | Gate | Manual)


class StepState(StrEnum):
    """Where a step is; *in doubt* is an intent without outcome after a crash."""

    PLANNED = "planned"
    INTENT = "intent"
    DONE = "done"
    STALE = "stale"
    FAILED = "failed"
    IN_DOUBT = "in doubt"
    HELD = "held"  #: a gate that was not acknowledged yet
