# SPDX-License-Identifier: Apache-2.0
"""What services wrote to their logs: one record for each message, with its traceback, whatever the file's format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

#: the id of an object or a request, alone or as part of a longer word (``req-...``)
UUID = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])")
REQUEST = re.compile(r"\breq-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
#: the levels that say that something went wrong
TROUBLE = frozenset({"ERROR", "CRITICAL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a format reads from one line."""

    at: float | None  #: seconds since 1970, UTC; None if the line has no time
    text: str
    level: str = "INFO"
    logger: str = ""
    process: str = ""
    host: str = ""  #: if the line names it
    service: str = ""  #: likewise
    request: str = ""  #: ``req-...``
    global_request: str = ""
    more: str = ""  #: a traceback within the line
    goes_on: bool = False  #: has the prefix of a message of its own, but continues the message before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known about a file before its lines are read."""

    host: str = ""
    service: str = ""
    year: int = 1970  #: of the newest line, for formats without a year
    month: int = 12  #: likewise
    offset: float = 0.0  #: seconds by which local times of this file are ahead of UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One way to write a line. ``read`` returns None for a line in another format."""

    name: str
    title: str  #: for people, with an example
    read: Callable[[str, Context], Line | None]
    order: int = 50  #: lower comes first: formats whose lines another format would take for its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to lay out log folders. ``place`` returns host and service of a file by its path, or None if unknown."""

    name: str
    title: str
    place: Callable[[tuple[str, ...]], tuple[str, str] | None]
    order: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One whole message of a log, with secrets already masked."""

    at: float | None  #: by the clock of its host; None if the line has no time
    text: str  #: the message, first line
    host: str = ""
    service: str = ""
    level: str = "INFO"
    logger: str = ""
    process: str = ""
    request: str = ""
    global_request: str = ""
    more: str = ""  #: the traceback and other lines that belong to it
    ids: frozenset[str] = field(default_factory=frozenset)  #: every id in it
    file: str = ""
    offset: int = 0  #: of its first line in the decompressed file

    @property
    def whole(self) -> str:
        """The message with all lines that belong to it."""
        return f"{self.text}\n{self.more}" if self.more else self.text

    @property
    def raised(self) -> str:
        """The last line of its traceback, which names the error."""
        lines = [line for line in self.more.splitlines() if line and not line[0].isspace()]
        errors = [line for line in lines if _ERROR.match(line)]
        return errors[-1] if errors else ""


_ERROR = re.compile(r"[A-Za-z_][\w.]*(?::\s|$)(?!.*most recent call)")


@dataclass(slots=True, kw_only=True)
class Looked:
    """What was read, for the report: "nothing was found" must not be taken for "nothing is there"."""

    files: int = 0
    size: int = 0  #: bytes, decompressed
    records: int = 0
    damaged: int = 0  #: lines with a searched word that no format can read
    skipped: int = 0  #: files last written before the window
    unread: dict[str, str] = field(default_factory=dict)  #: file -> why it was not read

    def add(self, other: Looked) -> None:
        """Add the counts of another search."""
        self.files += other.files
        self.size += other.size
        self.records += other.records
        self.damaged += other.damaged
        self.skipped += other.skipped
        self.unread |= other.unread
