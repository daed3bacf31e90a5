# SPDX-License-Identifier: Apache-2.0
"""One row that a check returned, and what became of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar, cast

from stackmend.model.check import Check, Severity

Row = Mapping[str, object]
_T = TypeVar("_T")


class State(StrEnum):
    """How sure a finding is."""

    CANDIDATE = "candidate"  #: seen once, in the snapshot
    CONFIRMED = "confirmed"  #: the same SQL said so again on rows read anew
    WAIVED = "waived"  #: accepted by the operator, with a reason and an expiry


class Says(StrEnum):
    """What the services' APIs say of a finding that databases showed."""

    SUPPORTS = "supports"  #: they show the same
    CONTRADICTS = "contradicts"  #: they show something else: the finding is not confirmed
    UNKNOWN = "unknown"  #: they could not be asked


@dataclass(frozen=True, slots=True)
class ApiWitness:
    """What the APIs say, and why."""

    says: Says
    reason: str = ""

    def as_dict(self) -> dict[str, str]:
        """JSON values."""
        return {"says": self.says.value, "reason": self.reason}


def witness_of(document: Mapping[str, str] | None) -> ApiWitness | None:
    """The witness of a document."""
    return ApiWitness(Says(document["says"]), document["reason"]) if document else None


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: identifying columns apart from the evidence, with a fingerprint that is stable across runs."""

    check: str
    severity: Severity
    state: State
    key: Row
    resource_type: str
    resource_id: str
    message: str
    evidence: Row  #: every column the SQL returned
    fingerprint: str
    explains: int = 0  #: findings of other checks that this root cause accounts for
    first_seen: str | None = None  #: when an audit first found it, ISO 8601, UTC; kept when it went and came back
    waiver: str | None = None  #: the reason, when waived
    api: ApiWitness | None = None  #: what the APIs say; None where they were not asked
    unsure: str = ""  #: why it stays a candidate though it was seen again: what would tell is not known
    young: bool = False  #: suspected alone: what it is about was not left alone for long enough to tell

    def as_dict(self) -> dict[str, object]:
        """The shape of ``audit -f json`` (docs/schemas/findings.json)."""
        return {
            "check": self.check,
            "severity": self.severity.value,
            "state": self.state.value,
            "key": jsonable(self.key),
            "resource": {"type": self.resource_type, "id": self.resource_id},
            "message": self.message,
            "evidence": jsonable(self.evidence),
            "fingerprint": self.fingerprint,
            "explains": self.explains,
            "first_seen": self.first_seen,
            "waiver": self.waiver,
            "api": self.api.as_dict() if self.api else None,
            "unsure": self.unsure,
            "young": self.young,
        }


def finding_of(check: Check, row: Row, state: State = State.CANDIDATE) -> Finding:
    """Make the finding that ``row``, returned by the SQL of ``check``, stands for."""
    key = {column: row[column] for column in check.key}
    kind, column = check.resource
    return Finding(
        check=check.name,
        severity=check.severity,
        state=state,
        key=key,
        resource_type=kind,
        resource_id=str(row[column]),
        message=_message(check, row),
        evidence=dict(row),
        fingerprint=fingerprint(check, row),
    )


def _message(check: Check, row: Row) -> str:
    """What is wrong, for people: the code of the row in words."""
    shown = dict(row)
    if words := check.codes.get(str(row.get("code", ""))):
        shown["code"] = words.format_map(_Readable(row))
    return check.message.format_map(_Readable(shown))


def alike(value: _T) -> _T:
    """What two values have in common that databases take for the same: text in any letters, with or without blanks."""
    return cast("_T", value.rstrip(" ").casefold()) if isinstance(value, str) else value


def same(check: Check, row: Row) -> tuple[object, ...]:
    """What rows that are about one thing have in common, whatever their letters."""
    return tuple(alike(row[column]) for column in check.key)


def fingerprint(check: Check, row: Row) -> str:
    """16 hex digits that name a finding across runs: the check and the key in the row, nothing that changes."""
    key = {column: row[column] for column in check.key}
    text = json.dumps([check.name, jsonable(key)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def jsonable(row: Row) -> dict[str, object]:
    """The row with times, dates and whatever JSON lacks as text."""
    return {k: v if isinstance(v, str | int | float | bool | None) else str(v) for k, v in row.items()}


@dataclass(frozen=True, slots=True)
class _Readable(Mapping[str, object]):
    """Lets a message say "none" where the row has NULL."""

    row: Row = field(default_factory=dict)

    def __getitem__(self, name: str) -> object:
        value = self.row[name]
        return "none" if value is None else value

    def __iter__(self) -> Iterator[str]:
        return iter(self.row)

    def __len__(self) -> int:
        return len(self.row)
