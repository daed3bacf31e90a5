# SPDX-License-Identifier: Apache-2.0
"""One row that a check returned, and its confirmation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, cast

from stackmend.model.check import Check, Severity
from stackmend.model.sight import HostWitness
from stackmend.model.sight import Says as Says

Row = Mapping[str, object]
_T = TypeVar("_T")


class State(StrEnum):
    """How certain a finding is."""

    CANDIDATE = "candidate"  #: seen once, in the snapshot
    CONFIRMED = "confirmed"  #: the same SQL returned it again on rows read anew
    WAIVED = "waived"  #: accepted by the operator, with a reason and an expiry


@dataclass(frozen=True, slots=True)
class ApiWitness:
    """The verdict of the APIs, with its reason."""

    says: Says
    reason: str = ""

    def as_dict(self) -> dict[str, str]:
        """JSON values."""
        return {"says": self.says.value, "reason": self.reason}


def host_witness_of(document: Mapping[str, Any] | None) -> HostWitness | None:
    """What hypervisors said, stored in a document."""
    if not document:
        return None
    return HostWitness(says=Says(document["says"]), reason=document["reason"], lines=tuple(document["seen"]))


def witness_of(document: Mapping[str, str] | None) -> ApiWitness | None:
    """The witness stored in a document."""
    return ApiWitness(Says(document["says"]), document["reason"]) if document else None


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: identifying columns separate from the evidence, and a fingerprint that is stable across runs."""

    check: str
    severity: Severity
    state: State
    key: Row
    resource_type: str
    resource_id: str
    message: str
    evidence: Row  #: every column the SQL returned
    fingerprint: str
    explains: int = 0  #: number of findings of other checks that have this one as root cause
    first_seen: str | None = None  #: when an audit first found it, ISO 8601, UTC; kept if it disappeared and came back
    waiver: str | None = None  #: the reason of the waiver, if waived
    api: ApiWitness | None = None  #: verdict of the APIs; None if they were not queried
    hosts: HostWitness | None = None  #: what hypervisors say; None if they were not asked, or show nothing of it
    unsure: str = ""  #: why it stays a candidate although confirmed again: what would decide it is unknown
    young: bool = False  #: only suspected: the object changed too recently to be sure

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
            "hosts": self.hosts.as_dict() if self.hosts else None,
            "unsure": self.unsure,
            "young": self.young,
        }


def finding_of(check: Check, row: Row, state: State = State.CANDIDATE) -> Finding:
    """Make the finding for a ``row`` returned by the SQL of ``check``."""
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
    """The message, with the row's code replaced by its meaning."""
    shown = dict(row)
    if words := check.codes.get(str(row.get("code", ""))):
        shown["code"] = words.format_map(_Readable(row))
    return check.message.format_map(_Readable(shown))


def alike(value: _T) -> _T:
    """Normalise a value as databases compare text: case and trailing blanks are ignored."""
    return cast("_T", value.rstrip(" ").casefold()) if isinstance(value, str) else value


def same(check: Check, row: Row) -> tuple[object, ...]:
    """The normalised key: equal for all rows about the same object."""
    return tuple(alike(row[column]) for column in check.key)


def fingerprint(check: Check, row: Row) -> str:
    """16 hex digits that identify a finding across runs: a hash of the check and the row's key, which do not change."""
    key = {column: row[column] for column in check.key}
    text = json.dumps([check.name, jsonable(key)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def jsonable(row: Row) -> dict[str, object]:
    """The row with times, dates and whatever else JSON lacks as text."""
    return {k: v if isinstance(v, str | int | float | bool | None) else str(v) for k, v in row.items()}


@dataclass(frozen=True, slots=True)
class _Readable(Mapping[str, object]):
    """Shows NULL as "none" in a message."""

    row: Row = field(default_factory=dict)

    def __getitem__(self, name: str) -> object:
        value = self.row[name]
        return "none" if value is None else value

    def __iter__(self) -> Iterator[str]:
        return iter(self.row)

    def __len__(self) -> int:
        return len(self.row)
