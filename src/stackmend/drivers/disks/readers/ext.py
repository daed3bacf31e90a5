# SPDX-License-Identifier: Apache-2.0
"""ext2, ext3 and ext4, read with debugfs from e2fsprogs: without a mount, addressing inodes by number only.

``-c`` skips the bitmaps: nothing is allocated, and a disk whose bitmaps are damaged can be read.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from time import strptime

from stackmend.drivers.disks.programs import output, run
from stackmend.drivers.disks.tree import Opening
from stackmend.model.errors import SourceError
from stackmend.model.objects.inspection import Entry, Kind, shown

TYPES = ("ext2", "ext3", "ext4")

_LINE = re.compile(rb" *(\d+) +([0-7]+) \(\d+\) +(\d+) +(\d+) +(\d+) +(\d+-\w{3}-\d{4} \d\d:\d\d) (.*)", re.DOTALL)
#: debugfs's notation for unprintable characters and the backslash
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
_KINDS = {0o10: Kind.FILE, 0o04: Kind.DIRECTORY, 0o12: Kind.LINK}
_ROOT = Entry(id="2", name="/", kind=Kind.DIRECTORY, mode=0o040755)
#: maximum length of a link's target in bytes
_TARGET = 4096


class Ext:
    """One file system."""

    def __init__(self, view: Path) -> None:
        self._view = str(view)

    def root(self) -> Entry:
        """The root directory."""
        return _ROOT

    def entries(self, at: Entry) -> Iterator[Entry]:
        """The entries of a directory."""
        count = 0
        for line in _lines(output(self._argv(f"ls -l <{at.id}>"))):
            if match := _LINE.fullmatch(line):
                count += 1
                name = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), match[7])
                if name not in (b".", b"..") and match[1] != b"0":
                    yield _entry(match, name)
        if not count:
            raise SourceError(f"directory {at.name} cannot be read: it is damaged")

    def looked(self, one: Entry) -> Entry:
        """The entry with the target of a link."""
        if one.kind is not Kind.LINK:
            return one
        ended = run(self._argv(f"stat <{one.id}>"))
        if match := re.search(rb'^Fast link dest: "(.*)"$', ended.out, re.MULTILINE | re.DOTALL):
            return replace(one, target=_path(match[1]))
        return replace(one, target=_path(b"".join(self.read(one))[:_TARGET]))

    def read(self, one: Entry) -> Iterator[bytes]:
        """The content of a file: exactly as many bytes as its inode says, or an error."""
        left = one.size
        for some in output(self._argv(f"cat <{one.id}>"), limit=3600.0):
            yield some[:left]
            left -= len(some)
            if left <= 0:
                return
        if left > 0:
            raise SourceError(f"{one.name} cannot be read whole: {left} of its {one.size} bytes are missing")

    def _argv(self, request: str) -> tuple[str, ...]:
        return ("debugfs", "-c", "-R", request, self._view)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for some in chunks:
        *whole, rest = (rest + some).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _entry(match: re.Match[bytes], name: bytes) -> Entry:
    mode = int(match[2], 8)
    return Entry(
        id=match[1].decode(),
        name=shown(name),
        kind=_KINDS.get(mode >> 12, Kind.OTHER),
        size=int(match[5]),
        mode=mode,
        owner=int(match[3]),
        modified=float(timegm(strptime(match[6].decode(), "%d-%b-%Y %H:%M"))),
    )


def _path(target: bytes) -> str:
    return "/".join(shown(part) for part in target.split(b"/"))


READER: tuple[tuple[str, ...], Opening] = (TYPES, Ext)
