# SPDX-License-Identifier: Apache-2.0
"""Log messages that contain one of some words: bytes are searched first, and only lines around a hit are parsed.

A file is read in blocks. Each is read together with the end of the previous block and the beginning of the next one, so
that a message is whole, with its traceback, wherever in it the word occurs. Memory does not grow with the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from stackmend.drivers.logs.files import LogFile
from stackmend.drivers.logs.lines import decoded
from stackmend.model.diagnosing.logs import TROUBLE, UUID, Line, Looked, Record
from stackmend.model.redaction import redact

_BLOCK = 4 * 1024 * 1024
_SLICE = 128 * 1024
#: the most bytes by which a message may begin before a word in it, and extend beyond its first line
_BEFORE, _BEHIND = 256 * 1024, 512 * 1024
#: the most lines of a message, and the most lines of other processes between them
_LONGEST, _FOREIGN = 600, 40
#: the most characters that are kept of a message, and of its traceback
_KEPT = 65_536
#: the most seconds between two lines of one message; the most seconds by which lines of a file may be out of order
_APART, _DISORDER = 2.0, 300.0
#: files smaller than this are read from the beginning, whatever the window
_SEARCHED = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Window:
    """The time of interest, in seconds since 1970; None means no limit."""

    since: float | None = None
    until: float | None = None

    def has(self, at: float | None) -> bool:
        """Whether a moment is within the window; an unknown one counts as within."""
        return at is None or ((self.since is None or at >= self.since) and (self.until is None or at <= self.until))


def read(file: LogFile, words: Sequence[bytes], window: Window, looked: Looked) -> Iterator[Record]:
    """Messages of a file with one of the words, in file order; what could not be read is noted in ``looked``."""
    if window.since is not None and file.path.stat().st_mtime < window.since - 2 * _DISORDER:
        looked.skipped += 1
        return
    looked.files += 1
    try:
        with file.open() as stream:
            begin, end = _span(file, stream, window)
            yield from _Scan(file, stream, words, window, looked).records(begin, end)
    except (OSError, EOFError, pa.ArrowException) as problem:
        looked.unread[file.name] = f"it ends early, or cannot be decompressed: {problem}"


class _Scan:
    def __init__(
        self, file: LogFile, stream: io.RawIOBase, words: Sequence[bytes], window: Window, looked: Looked
    ) -> None:
        self._file, self._stream, self._words, self._window, self._looked = file, stream, words, window, looked
        self._buffer = bytearray(_BEFORE + _BLOCK + _BEHIND)
        self._size = 0  #: bytes in the buffer
        self._base = 0  #: offset of its first byte in the file
        self._taken: set[int] = set()  #: offsets of lines that already belong to a message

    def records(self, begin: int, end: int | None) -> Iterator[Record]:
        self._base, low, ended = begin, 0, False
        while not ended:
            ended = self._fill(end)
            high = self._size if ended else self._size - _BEHIND
            for hit in self._hits(low, high):
                yield from self._message(hit)
            keep = max(0, high - _BEFORE)
            self._buffer[: self._size - keep] = self._buffer[keep : self._size]
            self._size -= keep
            self._base += keep
            low = high - keep
            self._taken = {line for line in self._taken if line >= self._base}

    def _fill(self, end: int | None) -> bool:
        """Fill the buffer; return whether the end was reached."""
        view = memoryview(self._buffer)
        try:
            while self._size < len(self._buffer):
                room = len(self._buffer) - self._size
                if end is not None:
                    room = min(room, end - self._base - self._size)
                read = self._stream.readinto(view[self._size : self._size + room]) if room > 0 else 0
                if not read:
                    return True
                self._size += read
                self._looked.size += read
            return False
        finally:
            view.release()

    def _hits(self, low: int, high: int) -> list[int]:
        """The beginnings of the lines that contain one of the words."""
        found: set[int] = set()
        # slice by slice, so that the bytes stay in the processor's cache while they are searched for each word
        for begin in range(low, high, _SLICE):
            end = min(begin + _SLICE, high)
            for word in self._words:
                self._in_slice(word, begin, end, found)
        return sorted(found)

    def _in_slice(self, word: bytes, begin: int, end: int, found: set[int]) -> None:
        """Add the lines in which the word begins within the slice."""
        buffer, last = self._buffer, end + len(word) - 1
        at = buffer.find(word, begin, last)
        while at >= 0:
            found.add(self._line_of(at))
            behind = buffer.find(b"\n", at, self._size)
            if behind < 0 or behind >= end:
                return
            at = buffer.find(word, behind + 1, last)

    def _line_of(self, at: int) -> int:
        return self._buffer.rfind(b"\n", 0, at) + 1

    def _after(self, begin: int) -> int:
        behind = self._buffer.find(b"\n", begin, self._size)
        return self._size if behind < 0 else behind + 1

    def _at(self, begin: int) -> Line | None:
        return self._file.reading.line(bytes(self._buffer[begin : min(self._after(begin), begin + _BEHIND)]))

    def _message(self, hit: int) -> Iterator[Record]:
        """The message to which this line belongs, unless it was returned already."""
        if self._base + hit in self._taken:
            return
        head = self._head(hit)
        if head is None:
            self._looked.damaged += 1
            return
        begin, line = head
        if self._base + begin in self._taken:
            return
        self._taken.add(self._base + begin)
        more = [line.more] if line.more else []
        more += self._rest(begin, line)
        if self._window.has(line.at):
            self._looked.records += 1
            yield self._made(line, "\n".join(more), self._base + begin)

    def _head(self, begin: int) -> tuple[int, Line] | None:
        """The line with which the message begins."""
        first = self._at(begin)
        if first is not None and not first.goes_on:
            return begin, first
        at, best = begin, (begin, first) if first is not None else None
        for _ in range(_LONGEST):
            if at <= 0:
                break
            at = self._line_of(at - 1)
            line = self._at(at)
            if line is None:
                continue
            if first is None:  # a bare line belongs to whatever precedes it
                if not line.goes_on:
                    return at, line
                first, best = line, (at, line)
                continue
            if not _belongs(line, first):
                if _apart(line, first):
                    break
                continue
            best = (at, line)
            if not line.goes_on:
                break
        return best

    def _rest(self, begin: int, head: Line) -> list[str]:
        """The lines after the first one that belong to the message."""
        found: list[str] = []
        at, foreign, ours = self._after(begin), 0, True
        while at < self._size and len(found) < _LONGEST and foreign < _FOREIGN:
            behind, line = self._after(at), self._at(at)
            if line is None:
                if ours:
                    found.append(decoded(bytes(self._buffer[at : min(behind, at + _BEHIND)])))
                    self._taken.add(self._base + at)
            elif line.goes_on and _belongs(head, line):
                found.append(line.text)
                self._taken.add(self._base + at)
                ours = True
            elif _apart(line, head) or (line.process == head.process and line.process) or head.at is None:
                break
            else:
                foreign, ours = foreign + 1, False
            at = behind
        return found

    def _made(self, line: Line, more: str, offset: int) -> Record:
        context = self._file.context
        text, more = redact(_cut(line.text)), redact(_cut(more.strip("\n"))) if more else ""
        named = UUID.findall(f"{line.request[4:]} {line.global_request[4:]} {text} {more}")
        return Record(
            at=line.at,
            text=text,
            host=line.host or context.host,
            service=line.service or context.service,
            level=line.level,
            logger=line.logger,
            process=line.process,
            request=line.request,
            global_request=line.global_request,
            more=more,
            ids=frozenset(found.lower() for found in named),
            file=self._file.name,
            offset=offset,
        )


def _cut(text: str) -> str:
    """Shorten a long text in the middle: services sometimes log whole documents."""
    return text if len(text) <= _KEPT else f"{text[: _KEPT // 2]} ... {text[-_KEPT // 2 :]}"


def _belongs(head: Line, line: Line) -> bool:
    """Whether a line may be a part of the message that ``head`` begins."""
    return (
        head.process == line.process
        and head.logger == line.logger
        and not _apart(head, line)
        and head.level in (*TROUBLE, "WARNING")
    )


def _apart(one: Line, other: Line) -> bool:
    return one.at is not None and other.at is not None and abs(one.at - other.at) > _APART


def _span(file: LogFile, stream: io.RawIOBase, window: Window) -> tuple[int, int | None]:
    """The part of a file that must be read; its lines are in order to within a few minutes."""
    size = file.path.stat().st_size
    if not file.seekable or size < _SEARCHED or window == Window():
        return 0, None
    begin, end = 0, None
    if window.since is not None:
        begin = _first(file, stream, size, window.since - _DISORDER)
    if window.until is not None:
        end = _first(file, stream, size, window.until + _DISORDER)
    stream.seek(begin)
    return begin, end


def _first(file: LogFile, stream: io.RawIOBase, size: int, moment: float) -> int:
    """The beginning of a line near the first one at or after the moment."""
    low, high = 0, size
    while high - low > _SEARCHED // 4:
        middle = (low + high) // 2
        at = _moment(file, stream, middle)
        if at is None or at >= moment:
            high = middle
        else:
            low = middle
    if low == 0:
        return 0
    stream.seek(low)
    return low + (stream.read(_SEARCHED // 4) or b"").find(b"\n") + 1


def _moment(file: LogFile, stream: io.RawIOBase, offset: int) -> float | None:
    """The time of the first line with a time after an offset."""
    stream.seek(offset)
    for raw in (stream.read(_SEARCHED // 8) or b"").split(b"\n")[1:]:
        line = file.reading.line(raw)
        if line is not None and line.at is not None:
            return line.at
    return None
