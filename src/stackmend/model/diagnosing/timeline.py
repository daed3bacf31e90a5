# SPDX-License-Identifier: Apache-2.0
"""What happened to an object, in order: log messages, actions, faults, migrations, its own timestamps, findings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackmend.model.diagnosing.logs import TROUBLE, Looked

Row = Mapping[str, Any]

#: kinds of objects with which a diagnosis may start
KINDS = ("server", "port", "volume", "host", "image", "request")
#: where an entry comes from
LOG, ACTION, EVENT, FAULT, MIGRATION, OBJECT, FINDING = (
    "log", "action", "event", "fault", "migration", "object", "finding",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event or message."""

    at: float | None  #: by the reference clock; None if the time is unknown
    text: str
    kind: str = LOG
    told: float | None = None  #: by the clock of its own host
    host: str = ""
    service: str = ""
    level: str = "INFO"
    logger: str = ""
    request: str = ""
    more: str = ""
    ids: frozenset[str] = field(default_factory=frozenset)
    source: str = ""  #: file and offset, or table

    @property
    def whole(self) -> str:
        """The text with its traceback."""
        return f"{self.text}\n{self.more}" if self.more else self.text

    @property
    def trouble(self) -> bool:
        """Whether the entry says that something went wrong."""
        return self.level in TROUBLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How much the clock of a host differs from the reference, and what shows it."""

    host: str
    ahead: float  #: seconds, at least; negative if the clock is behind
    reference: str
    requests: int  #: the number of requests that both hosts logged


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePlace:
    """A place in a service's code where something failed, according to a traceback."""

    file: str  #: the path from the package on: ``nova/compute/manager.py``
    line: int = 0  #: 0 if no frame shows it and the place is inferred
    function: str = ""
    service: str = ""  #: of the log
    at: float | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function})" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Match:
    """An entry and what a pattern matched in it."""

    entry: Entry
    found: re.Match[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that is known about the trouble of one object."""

    kind: str
    id: str
    name: str = ""
    entries: tuple[Entry, ...] = ()
    ids: Mapping[str, str] = field(default_factory=dict)  #: id -> kind of everything that was followed
    rows: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)  #: table -> rows about it
    clocks: tuple[Clock, ...] = ()
    looked: Looked = field(default_factory=Looked)
    cut: str = ""  #: why not everything was followed

    def of(self, kind: str) -> list[str]:
        """The ids of one kind."""
        return [name for name, of in self.ids.items() if of == kind]

    def find(
        self,
        pattern: str | re.Pattern[str],
        *,
        services: Sequence[str] = (),
        whole: bool = True,
        levels: Sequence[str] = (),
    ) -> list[Match]:
        """Entries that match a pattern, in order; only of these services (by the prefix of their names) and levels."""
        compiled = re.compile(pattern)
        return [
            Match(entry, found)
            for entry in self.entries
            if (not services or entry.service.startswith(tuple(services)) or entry.logger.startswith(tuple(services)))
            and (not levels or entry.level in levels)
            and (found := compiled.search(entry.whole if whole else entry.text)) is not None
        ]

    def trouble(self) -> Iterator[Entry]:
        """The entries that say that something went wrong, in order."""
        return (entry for entry in self.entries if entry.trouble)


def near(one: Entry, other: Entry, seconds: float) -> bool:
    """Whether two entries are at most so many seconds apart; an entry without a time counts as near."""
    return one.at is None or other.at is None or abs(one.at - other.at) <= seconds
