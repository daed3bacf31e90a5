# SPDX-License-Identifier: Apache-2.0
"""What services wrote to their logs: one record a message, with its traceback, whatever the format of the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

#: an id of an object or of a request, alone or as a part of a longer word (``req-...``)
UUID = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])")
REQUEST = re.compile(r"\breq-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
#: levels from which on something is wrong
TROUBLE = frozenset({"ERROR", "CRITICAL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a format reads of one line."""

    at: float | None  #: seconds since 1970, UTC; None if the line has no time
    text: str
    level: str = "INFO"
    logger: str = ""
    process: str = ""
    host: str = ""  #: where the line says so
    service: str = ""  #: likewise
    request: str = ""  #: ``req-...``
    global_request: str = ""
    more: str = ""  #: a traceback within the line
    goes_on: bool = False  #: written with the prefix of the line before, whose message it continues


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known of a file before its lines are read."""

    host: str = ""
    service: str = ""
    year: int = 1970  #: of the newest line, for formats that write no year
    month: int = 12  #: likewise
    offset: float = 0.0  #: seconds by which local times of this file are ahead of UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One way to write a line. ``read`` returns None for a line that is written in another way."""

    name: str
    title: str  #: for people, with an example
    read: Callable[[str, Context], Line | None]
    order: int = 50  #: formats whose lines others would take for theirs come first


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to lay out folders of logs. ``place`` says host and service of a file by its path, None if unknown."""

    name: str
    title: str
    place: Callable[[tuple[str, ...]], tuple[str, str] | None]
    order: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message in a log, whole: secrets in it are masked already."""

    at: float | None  #: as the clock of its host had it; None if the line has no time
    text: str  #: the message, first line
    host: str = ""
    service: str = ""
    level: str = "INFO"
    logger: str = ""
    process: str = ""
    request: str = ""
    global_request: str = ""
    more: str = ""  #: traceback and other lines that belong to it
    ids: frozenset[str] = field(default_factory=frozenset)  #: every id in it
    file: str = ""
    offset: int = 0  #: of its first line in the file, decompressed

    @property
    def whole(self) -> str:
        """The message with everything that belongs to it."""
        return f"{self.text}\n{self.more}" if self.more else self.text

    @property
    def raised(self) -> str:
        """The last line of its traceback: which error it was."""
        lines = [line for line in self.more.splitlines() if line and not line[0].isspace()]
        errors = [line for line in lines if _ERROR.match(line)]
        return errors[-1] if errors else ""


_ERROR = re.compile(r"[A-Za-z_][\w.]*(?::\s|$)(?!.*most recent call)")


@dataclass(slots=True, kw_only=True)
class Looked:
    """What was read, for the report: so that nothing found is not taken for nothing there."""

    files: int = 0
    size: int = 0  #: bytes, decompressed
    records: int = 0
    damaged: int = 0  #: lines with what was looked for that no format can read
    skipped: int = 0  #: files that were last written before the window
    unread: dict[str, str] = field(default_factory=dict)  #: file -> why not

    def add(self, other: Looked) -> None:
        """Count another look with this one."""
        self.files += other.files
        self.size += other.size
        self.records += other.records
        self.damaged += other.damaged
        self.skipped += other.skipped
        self.unread |= other.unread
