# SPDX-License-Identifier: Apache-2.0
"""What fails most in a time window: messages by cause and template, and which are new since the previous window."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from stackmend.engine.diagnosing import catalogue
from stackmend.model.diagnosing.cause import entry_dict, moment
from stackmend.model.diagnosing.logs import Looked, Record
from stackmend.model.diagnosing.timeline import Entry

#: what differs between two messages of the same kind
_PARTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\breq-[0-9a-f-]{36}", "<request>"),
        (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<id>"),
        (r"\b[0-9a-f]{32}\b", "<id>"),
        (r"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b", "<mac>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<address>"),
        (r"\b0x[0-9a-fA-F]+\b", "<address>"),
        (r"\binstance-[0-9a-f]{8}\b", "<guest>"),
        (r"(?<![\w<])\d+(?:\.\d+)?(?![\w>])", "<n>"),
        (r"'[^']{1,200}'|\"[^\"]{1,200}\"", "<text>"),
    )
)
_EXAMPLES = 3
_LONGEST = 300


def template(text: str) -> str:
    """A message with masks in place of the parts that differ each time."""
    text = text[:_LONGEST]
    for pattern, mask in _PARTS:
        text = pattern.sub(mask, text)
    return text.strip()


@dataclass(slots=True)
class Group:
    """Messages with the same template."""

    template: str
    cause: str = ""  #: from the catalogue; "" if the message is a sign of none
    level: str = "ERROR"
    count: int = 0
    before: int = 0  #: in the previous window, which was as long
    hosts: Counter[str] = field(default_factory=Counter)
    services: Counter[str] = field(default_factory=Counter)
    servers: set[str] = field(default_factory=set)
    first: float | None = None
    last: float | None = None
    examples: list[Entry] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether the previous window had no such message."""
        return self.count > 0 and self.before == 0

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "template": self.template,
            "cause": self.cause or None,
            "level": self.level,
            "count": self.count,
            "before": self.before,
            "new": self.is_new,
            "hosts": dict(self.hosts.most_common()),
            "services": dict(self.services.most_common()),
            "servers": len(self.servers),
            "first": moment(self.first),
            "last": moment(self.last),
            "examples": [entry_dict(entry) for entry in self.examples],
        }


@dataclass(slots=True)
class Summary:
    """The trouble in a time window, the most frequent first."""

    since: float
    until: float
    groups: list[Group]
    looked: Looked
    unread: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON values (docs/schemas/diagnosis-summary.json)."""
        looked = self.looked
        return {
            "since": moment(self.since),
            "until": moment(self.until),
            "groups": [one.as_dict() for one in self.groups],
            "looked": {
                "files": looked.files,
                "bytes": looked.size,
                "messages": looked.records,
                "damaged_lines": looked.damaged,
                "older_files": looked.skipped,
                "unread": dict(self.unread),
                "cut": None,
            },
        }


def summarised(records: Iterable[Record], since: float, until: float) -> list[Group]:
    """Group messages from ``since`` on; earlier ones count as the previous window. Memory grows only with templates."""
    groups: dict[tuple[str, str], Group] = {}
    for record in records:
        if record.at is None or record.at > until or record.level not in ("ERROR", "CRITICAL", "WARNING"):
            continue
        said = template(f"{record.text or record.more.partition(chr(10))[0]}{_raised(record)}")
        group = groups.setdefault((record.logger or record.service, said), Group(said, level=record.level))
        if record.at < since:
            group.before += 1
            continue
        _count(group, record)
    found = [group for group in groups.values() if group.count]
    found.sort(key=lambda one: (one.level == "WARNING" and not one.cause, -one.count, one.template))
    return found


def _raised(record: Record) -> str:
    raised = record.raised
    return f" [{raised}]" if raised and raised not in record.text else ""


def _count(group: Group, record: Record) -> None:
    group.count += 1
    group.hosts[record.host or "?"] += 1
    group.services[record.service] += 1
    group.first = record.at if group.first is None else min(group.first, record.at or group.first)
    group.last = record.at if group.last is None else max(group.last, record.at or group.last)
    if (server := re.search(r"\[instance: ([0-9a-f-]{36})\]", record.text)) is not None:
        group.servers.add(server[1])
    if len(group.examples) < _EXAMPLES:
        group.cause = group.cause or cause_of(record.whole)
        group.examples.append(
            Entry(
                at=record.at,
                text=record.text,
                host=record.host,
                service=record.service,
                level=record.level,
                logger=record.logger,
                request=record.request,
                more=record.more,
                ids=record.ids,
                source=f"{record.file}@{record.offset}",
            )
        )


@cache
def _signs() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple(
        (name, re.compile("|".join(f"(?:{sign})" for sign in cause.signs)))
        for name, cause in catalogue.causes().items()
        if cause.signs
    )


def cause_of(text: str) -> str:
    """The cause of which a single message is a sign, or ""."""
    return next((name for name, sign in _signs() if sign.search(text)), "")
