# SPDX-License-Identifier: Apache-2.0
"""What a cause is: how trouble comes about, how it shows in a story, what speaks against it and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stackmend.model.diagnosing.timeline import CodePlace, Entry, Story


class Confidence(StrEnum):
    """How far the evidence goes."""

    CERTAIN = "certain"  #: the services say so themselves, and nothing speaks against it
    LIKELY = "likely"  #: it fits, but one piece is inferred
    POSSIBLE = "possible"  #: it fits, but other causes would fit as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a cause explains one story."""

    statement: str  #: one sentence that names the objects
    evidence: tuple[Entry, ...]
    confidence: Confidence = Confidence.LIKELY
    confirm: tuple[str, ...] = ()  #: what would prove it
    against: tuple[str, ...] = ()  #: what speaks against it
    remedies: tuple[str, ...] = ()  #: what to do: commands of stackmend first


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One way in which operations fail. The docstring of its module is its page.

    ``words`` are literal strings: messages with one of them are searched for around the trouble, whatever object they
    name. ``signs`` are patterns by which a single message is counted under this cause if nothing else is known.
    """

    name: str  #: kebab-case; public and permanent
    judge: Callable[[Story], Iterable[Verdict]]
    signs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    #: causes that are consequences of this one if both fit
    explains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blamed:
    """A cause that fits a story."""

    cause: str
    title: str
    verdict: Verdict
    consequence_of: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        verdict = self.verdict
        return {
            "cause": self.cause,
            "title": self.title,
            "statement": verdict.statement,
            "confidence": verdict.confidence.value,
            "consequence_of": self.consequence_of or None,
            "evidence": [entry_dict(entry) for entry in verdict.evidence],
            "confirm": list(verdict.confirm),
            "against": list(verdict.against),
            "remedies": list(verdict.remedies),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The answer about an object: its story, the causes that fit, and what is still known if none does."""

    story: Story
    blamed: tuple[Blamed, ...] = ()
    first_error: Entry | None = None
    last_step: Entry | None = None
    missing: str = ""  #: the step with which a healthy story would continue
    places: tuple[CodePlace, ...] = ()  #: where in the services' code it failed, the likeliest first
    unread: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON values (docs/schemas/diagnosis.json)."""
        story, looked = self.story, self.story.looked
        return {
            "kind": story.kind,
            "id": story.id,
            "name": story.name or None,
            "causes": [blamed.as_dict() for blamed in self.blamed],
            "first_error": entry_dict(self.first_error) if self.first_error else None,
            "last_step": entry_dict(self.last_step) if self.last_step else None,
            "missing_step": self.missing or None,
            "code": [
                {"file": one.file, "line": one.line or None, "function": one.function or None, "service": one.service}
                for one in self.places
            ],
            "related": [{"id": name, "kind": kind} for name, kind in story.ids.items()],
            "clocks": [
                {
                    "host": one.host,
                    "ahead_seconds": round(one.ahead, 3),
                    "reference": one.reference,
                    "requests": one.requests,
                }
                for one in story.clocks
            ],
            "looked": {
                "files": looked.files,
                "bytes": looked.size,
                "messages": looked.records,
                "damaged_lines": looked.damaged,
                "older_files": looked.skipped,
                "unread": dict(self.unread),
                "cut": story.cut or None,
            },
            "timeline": [entry_dict(entry) for entry in story.entries],
        }


def entry_dict(entry: Entry) -> dict[str, Any]:
    """An entry as JSON values; times are ISO 8601, UTC."""
    return {
        "at": moment(entry.at),
        "told": moment(entry.told) if entry.told != entry.at else None,
        "kind": entry.kind,
        "host": entry.host or None,
        "service": entry.service or None,
        "level": entry.level,
        "request": entry.request or None,
        "text": entry.text,
        "more": entry.more or None,
        "source": entry.source or None,
    }


def moment(at: float | None) -> str | None:
    """ISO 8601 to the millisecond."""
    from datetime import UTC, datetime

    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
