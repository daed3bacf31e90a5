# SPDX-License-Identifier: Apache-2.0
"""The plan: the intended changes, in a file that can be read and signed off, and that shows whether it was edited.

The file is one JSON object: ``format``, ``sha256``, ``plan``. The hash covers the canonical JSON of ``plan`` (sorted
keys, no blanks, ASCII). Bytes are ``{"base64": "..."}``. Columns that :mod:`stackmend.tables` marks as secret never
occur in it: the planner refuses such steps.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, TypedDict, get_type_hints

import msgspec

from stackmend.model import files, operations
from stackmend.model.errors import PlanFileError, UsageError
from stackmend.model.finding import Row
from stackmend.model.step import (
    STEP_TYPES,
    ApiCall,
    BumpRow,
    DeleteRow,
    ExpectRow,
    Gate,
    InsertRow,
    Risk,
    Step,
    UpdateRow,
    Value,
    irreversible,
    writes,
)

#: of the file; any other is refused
FORMAT = "stackmend-plan-1"

_AGAIN = "Make a new one with 'stackmend plan create'."

#: signs the canonical bytes of a plan: {"key": its name, "value": base64}
Sign = Callable[[bytes], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one plan may change, and when a run gives up. Exceeding a limit raises LimitError (exit 5)."""

    max_rows: int = 5000  #: rows changed by the whole plan
    max_share: float = 0.2  #: share of a table's rows that may be updated or deleted
    share_floor: int = 50  #: as many rows of a table are always allowed, because small clouds have small tables
    max_failures: int = 10  #: lanes that may fail before the run stops; a stale lane is not a failure
    parallel: int = 1  #: lanes that may have a call in progress at the same time
    per_slot: int = 0  #: of these, how many may share a slot; 0: any number


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """The repair of one finding (or one request of the operator): a lane of steps, executed in order."""

    id: str  #: "a1", "a2", ...: unique within its plan
    check: str  #: "" for a request
    key: Row  #: columns that identify the finding
    fingerprint: str
    resource_type: str
    resource_id: str
    message: str
    target: Row  #: the finding's evidence (JSON values), or the arguments of the request
    repair: str
    strategy: str
    risk: Risk
    stage: int  #: pass of the plan: lower stages are finished first
    steps: tuple[Step, ...]
    statements: tuple[str, ...] = ()  #: each step in words; SQL for row steps
    why: str = ""  #: what may be lost
    instead: str = ""  #: why an earlier strategy could not be used
    required: bool = False  #: later stages begin only if it is done
    slots: tuple[str, ...] = ()  #: occupied while one of its calls is in progress: "from:c01", "to:c02"
    evidence: tuple[str, ...] = ()  #: evidence for and against it, a sentence each
    #: host -> what its hypervisor showed of it: not executed unless it shows the same then
    seen: Mapping[str, str] = field(default_factory=dict)

    @property
    def irreversible(self) -> bool:
        """True if one of its steps cannot be undone."""
        return any(irreversible(step) for step in self.steps)

    @property
    def runnable(self) -> bool:
        """True if ``plan apply`` would run it: it changes something or holds a gate, and is not manual."""
        return self.risk is not Risk.MANUAL and any(writes(step) or isinstance(step, Gate) for step in self.steps)

    def as_dict(self) -> dict[str, object]:
        """JSON values; the inverse of :func:`action_of`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if not self.seen:
            del values["seen"]  # plans of before this word have another hash with it
        return values | {
            "key": dict(self.key),
            "target": dict(self.target),
            "risk": self.risk.value,
            "steps": [step_dict(step) for step in self.steps],
            "statements": list(self.statements),
            "slots": list(self.slots),
            "evidence": list(self.evidence),
            "irreversible": self.irreversible,
            **({"seen": dict(self.seen)} if self.seen else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrepaired:
    """A finding that the plan does not repair, and the reason."""

    check: str
    fingerprint: str
    resource_type: str
    resource_id: str
    message: str
    reason: str  #: a sentence
    repair: str = ""  #: the repair that would have been used
    done: bool = False  #: no repair is needed: it already is as requested


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Actions in the order of their stages, and everything left out, with reasons."""

    id: str
    created_at: str  #: ISO 8601, UTC
    cloud: str  #: identity of the cloud the plan was made for
    version: str  #: of stackmend
    checks: tuple[str, ...] = ()  #: the checks that were run; empty for a request
    incomplete: Mapping[str, str] = field(default_factory=dict)  #: check -> why it has no answer
    actions: tuple[Action, ...] = ()
    #: findings that touch rows of an earlier action: run ``plan create`` again afterwards
    deferred: tuple[Unrepaired, ...] = ()
    not_repaired: tuple[Unrepaired, ...] = ()
    limits: Limits = field(default_factory=Limits)
    workflow: str = ""  #: name of the workflow that made it; "" for repairs
    facts: Mapping[str, Any] = field(default_factory=dict)  #: what a workflow recorded before its start (JSON values)
    #: the time for which its steps were made, as databases print it; "" if none was read
    now: str = ""

    @property
    def runnable(self) -> tuple[Action, ...]:
        """The actions that ``plan apply`` runs."""
        return tuple(action for action in self.actions if action.runnable)

    @property
    def manual(self) -> tuple[Action, ...]:
        """The actions that are only printed."""
        return tuple(action for action in self.actions if not action.runnable)

    @property
    def needs_consent(self) -> tuple[str, ...]:
        """The unsafe repairs in it, by name; ``--accept`` takes these names, or ``all``."""
        return tuple(sorted({action.repair for action in self.runnable if action.risk is Risk.UNSAFE}))

    def unconsented(self, accept: Collection[str]) -> tuple[Action, ...]:
        """The actions that would run but lack consent, given ``accept``: names, or ``all``."""
        if "all" in accept:
            return ()
        return tuple(a for a in self.runnable if a.risk is Risk.UNSAFE and a.repair not in accept)

    def only(self, ids: Sequence[str]) -> Plan:
        """The same plan reduced to these actions.

        Raises UsageError for an id that is not a runnable action's, and if a workflow requires an action that is left
        out.
        """
        known = {action.id: action for action in self.runnable}
        for name in ids:
            if name not in known:
                raise UsageError(f"the plan has no action {name!r} to run", f"It has: {', '.join(known) or 'none'}.")
        last = max((known[name].stage for name in ids), default=0)
        for action in self.runnable:
            if action.required and action.stage < last and action.id not in ids:
                raise UsageError(
                    f"{action.id} must be done first: {action.message}",
                    f"Add it: --only {action.id},{','.join(ids)}",
                )
        return replace(self, actions=tuple(action for action in self.actions if action.id in ids))

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of actions, steps and rows, for a headline."""
        kinds = Counter(step.kind for action in self.runnable for step in action.steps if writes(step))
        return {
            "actions": len(self.runnable),
            "manual": len(self.manual),
            "deferred": len(self.deferred),
            "not_repaired": len(self.not_repaired),
            "steps": sum(kinds.values()),
            **{kind: kinds[kind] for kind in sorted(kinds)},
        }

    def as_dict(self) -> dict[str, object]:
        """JSON values (docs/schemas/plan.json); bytes are still bytes here."""
        return {
            "id": self.id,
            "created_at": self.created_at,
            "cloud": self.cloud,
            "version": self.version,
            "checks": list(self.checks),
            "incomplete": dict(self.incomplete),
            "counts": self.counts,
            "limits": _plain(self.limits),
            "workflow": self.workflow,
            "facts": dict(self.facts),
            **({"now": self.now} if self.now else {}),
            "actions": [action.as_dict() for action in self.actions],
            "deferred": [_plain(left) for left in self.deferred],
            "not_repaired": [_plain(left) for left in self.not_repaired],
        }

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON, which identifies this plan."""
        return hashlib.sha256(canonical(self.as_dict())).hexdigest()


def step_dict(step: Step) -> dict[str, object]:
    """A step as a dictionary that starts with its ``kind``; the inverse of :func:`step_of`."""
    if isinstance(step, ApiCall):
        return {
            "kind": step.kind,
            "service": step.service,
            "operation": step.name,
            "arguments": dict(step.arguments),
            "expect": dict(step.expect),
            "inverse": None if step.inverse is None else step_dict(step.inverse),
            "waits": step.waits,
        }
    found: dict[str, object] = {"kind": step.kind}
    for name in (one.name for one in fields(step)):
        value = getattr(step, name)
        if isinstance(value, Mapping):
            value = dict(value)
        elif isinstance(value, tuple):
            value = list(value)
        found[name] = value
    return found


_ROWS = ("pk", "before", "after", "key", "values", "expect", "where")
_WORDS = ("argv", "probe", "inverse")
#: maximum time limit that a file may give a command, in seconds
_LONGEST = 10_000_000
#: fields restricted to some values in a plan file; only undo sets others
_BOUND: Mapping[str, Callable[[Any], bool]] = {
    "limit": lambda value: 0 < value < _LONGEST,
    "back": lambda value: value is False,
    "sealed": lambda value: value == "",
    "left": lambda value: value is None,
}


def step_of(data: Mapping[str, Any]) -> Step:
    """The step from a dictionary made by :func:`step_dict`; KeyError or TypeError for anything else."""
    values = dict(data)
    kind = STEP_TYPES[values.pop("kind")]
    for name in _WORDS:
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    if kind is ApiCall:
        return _call_of(**values)
    step: Step = kind(**values)
    return step


def _call_of(
    service: str,
    operation: str,
    arguments: Mapping[str, object],
    expect: Mapping[str, object],
    inverse: Mapping[str, object] | None,
    waits: bool,
) -> ApiCall:
    back = None if inverse is None else step_of(inverse)
    mappings = isinstance(arguments, Mapping) and bool(arguments) and isinstance(expect, Mapping)
    if not (mappings and isinstance(waits, bool) and isinstance(back, ApiCall | None)):
        raise TypeError(f"the call {operation} of {service}")
    return operations.call_of(service, operation, arguments, expect, back, waits)


def _sound(step: Step) -> None:
    """Like :func:`_judge`, for a step; also checks that rows hold values of databases, and the restricted fields."""
    if isinstance(step, ApiCall):
        return  # judged by its operation: see ApiCall.fault
    _judge(step)
    for name in (one.name for one in fields(step)):
        value = getattr(step, name)
        good = name not in _BOUND or _BOUND[name](value)
        if name in _ROWS:
            good = isinstance(value, dict) and all(map(_is_value, value.values()))
        if not good:
            raise TypeError(f"{name} of a step {step.kind}")


def _judge(record: Any) -> None:
    """Raise ValueError if a field has the wrong type. Numbers stay as they were written, because they are hashed."""
    types = _types(type(record))  # type: ignore[arg-type]
    msgspec.convert({name: getattr(record, name) for name in types.__annotations__}, types)


@cache
def _types(kind: Any) -> Any:
    """The fields of a record that msgspec can check: neither rows (text or bytes) nor unions of records (ADR 0042)."""
    hints = get_type_hints(kind)
    apart = set(_ROWS if kind in STEP_TYPES.values() else ("steps", "actions", "deferred", "not_repaired", "limits"))
    return TypedDict(kind.__name__, {f.name: hints[f.name] for f in fields(kind) if f.name not in apart})  # type: ignore[operator]


def _is_value(value: object) -> bool:
    return value is None or isinstance(value, int | float | str | bytes)


def action_of(data: Mapping[str, Any]) -> Action:
    """The action from a dictionary made by :meth:`Action.as_dict`."""
    values = {name: value for name, value in data.items() if name != "irreversible"}
    return Action(
        **values
        | {
            "risk": Risk(values["risk"]),
            "steps": tuple(step_of(step) for step in values["steps"]),
            "statements": tuple(values["statements"]),
            "slots": tuple(values.get("slots", ())),
            "evidence": tuple(values.get("evidence", ())),
        }
    )


def _typed(plan: Plan) -> None:
    """Raise TypeError or ValueError if a plan from a file holds invalid values."""
    for record in (plan, plan.limits, *plan.deferred, *plan.not_repaired, *plan.actions):
        _judge(record)
    for action in plan.actions:
        for step in action.steps:
            _sound(step)


def canonical(data: object) -> bytes:
    """JSON that is identical for identical data, as input of the hash."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), default=_bytes).encode()


def to_json(data: object, indent: int | None = None) -> str:
    """JSON text of values that may hold bytes."""
    return json.dumps(data, default=_bytes, indent=indent)


def from_json(text: str | bytes) -> Any:
    """The inverse of :func:`to_json`; ValueError if it is not JSON."""
    return json.loads(text, object_hook=_unbytes)


def save(plan: Plan, path: str | os.PathLike[str], sign: Sign | None = None) -> None:
    """Write the plan file atomically, readable only by its owner; an existing file is replaced.

    ``sign`` is given the bytes that :attr:`Plan.sha256` covers.
    """
    document: dict[str, object] = {"format": FORMAT, "sha256": plan.sha256, "plan": plan.as_dict()}
    if sign is not None:
        document["signature"] = dict(sign(canonical(document["plan"])))
    try:
        files.write(path, to_json(document, indent=1) + "\n")
    except files.Refused as problem:
        raise PlanFileError(f"the plan {path} {problem}", "Choose another path for --out.") from None


def load(path: str | os.PathLike[str]) -> Plan:
    """Read a plan file; PlanFileError if it is missing, truncated, edited, foreign or of another format.

    The result is what the file says and no more: :mod:`stackmend.engine.planning.vetting` judges whether it can be
    true.
    """
    return loaded(path)[0]


def loaded(path: str | os.PathLike[str]) -> tuple[Plan, bytes, Mapping[str, str]]:
    """As :func:`load`, with the signed bytes and the signature: {} if there is none."""
    try:
        text = files.read(path)
    except files.Refused as problem:
        raise PlanFileError(f"the plan {path} {problem}", _AGAIN) from None
    try:
        document = from_json(text)
    except (ValueError, RecursionError):
        raise PlanFileError(f"{path} is not a complete JSON document: truncated, or not a plan", _AGAIN) from None
    if not isinstance(document, dict) or not str(document.get("format", "")).startswith("stackmend-plan-"):
        raise PlanFileError(f"{path} is JSON, but not a stackmend plan", _AGAIN)
    if document["format"] != FORMAT:
        raise PlanFileError(
            f"{path} has the format {document['format']}, but this stackmend reads {FORMAT}",
            "Use the version of stackmend that wrote it, or make a new plan.",
        )
    signed = canonical(document.get("plan"))
    if hashlib.sha256(signed).hexdigest() != document.get("sha256"):
        raise PlanFileError(f"{path} was changed after it was made: its hash does not match", _AGAIN)
    try:
        plan = plan_of(document["plan"])
        _typed(plan)
        return plan, signed, dict(document.get("signature") or {})
    except (KeyError, TypeError, ValueError, AttributeError):
        raise PlanFileError(f"{path} contains steps that this stackmend does not know", _AGAIN) from None


def plan_of(data: Mapping[str, Any]) -> Plan:
    """The plan from a dictionary made by :meth:`Plan.as_dict`."""
    values = {name: value for name, value in data.items() if name != "counts"}
    return Plan(
        **values
        | {
            "checks": tuple(values["checks"]),
            "limits": Limits(**values["limits"]),
            "actions": tuple(action_of(action) for action in values["actions"]),
            "deferred": tuple(Unrepaired(**left) for left in values["deferred"]),
            "not_repaired": tuple(Unrepaired(**left) for left in values["not_repaired"]),
        }
    )


def row_id(
    step: UpdateRow | InsertRow | DeleteRow | BumpRow | ExpectRow,
) -> tuple[str, str, tuple[tuple[str, Value], ...]]:
    """(database, table, identifying columns) of the row of a row step."""
    values = step.key if isinstance(step, InsertRow) else step.pk
    return step.database, step.table, tuple(sorted(values.items()))


def _plain(record: Limits | Unrepaired) -> dict[str, object]:
    return {f.name: getattr(record, f.name) for f in fields(record)}


def _bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    raise TypeError(f"a plan cannot hold {type(value).__name__}")


def _unbytes(found: dict[str, object]) -> object:
    text = found.get("base64")
    if len(found) == 1 and isinstance(text, str):
        return base64.b64decode(text, validate=True)
    return found
