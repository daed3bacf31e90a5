# SPDX-License-Identifier: Apache-2.0
"""XFS, read with xfs_db from xfsprogs, without a mount: it names the blocks, which are then read from the disk."""

from __future__ import annotations

import os
import re
from calendar import timegm
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import strptime

from stackmend.drivers.disks.programs import KEPT, run
from stackmend.drivers.disks.tree import Opening
from stackmend.model.errors import SourceError
from stackmend.model.objects.inspection import Entry, Kind, shown

#: a directory entry up to its name, whose length it gives
_LINE = re.compile(rb"\d+ +(\d+) +\S+ +0x[0-9a-f]+ +(\d+) ")
_EXTENT = re.compile(rb"data offset (\d+) startblock \d+ \((\d+)/(\d+)\) count (\d+) flag (\d)")
_KINDS = {0o10: Kind.FILE, 0o04: Kind.DIRECTORY, 0o12: Kind.LINK}
_CORE = ("core.mode", "core.size", "core.uid", "core.mtime.sec", "core.format", "core.realtime")
_CHUNK = 1 << 20
#: inodes requested in one command
_BATCH = 64


@dataclass(frozen=True, slots=True)
class _Geometry:
    """The location of a file system's blocks."""

    block: int
    group: int  #: blocks per allocation group
    root: str


class Xfs:
    """One file system."""

    def __init__(self, view: Path) -> None:
        self._view = str(view)
        found = self._asked("sb 0", "p blocksize agblocks rootino")
        try:
            self._at = _Geometry(int(found["blocksize"]), int(found["agblocks"]), found["rootino"])
        except (KeyError, ValueError):
            raise SourceError("its superblock cannot be read by xfs_db") from None

    def root(self) -> Entry:
        """The root directory."""
        return self._inode(Entry(id=self._at.root, name="/", kind=Kind.DIRECTORY))

    def entries(self, at: Entry) -> Iterator[Entry]:
        """The entries of a directory."""
        out = self._said(f"inode {at.id}", "ls")
        every = list(_names(out))
        if not every:
            raise SourceError(f"directory {at.name} cannot be read: it is damaged")
        names = [one for one in every if one[1] not in (b".", b"..")]
        for first in range(0, len(names), _BATCH):
            yield from self._several(names[first : first + _BATCH])

    def looked(self, one: Entry) -> Entry:
        """The entry with the target of a link."""
        one = self._inode(one)
        if one.kind is not Kind.LINK:
            return one
        match = re.search(rb'^u3?\.symlink = "(.*)"$', self._said(f"inode {one.id}", "p"), re.MULTILINE | re.DOTALL)
        target = match[1] if match else b""
        return replace(one, target="/".join(shown(part) for part in target.split(b"/")))

    def read(self, one: Entry) -> Iterator[bytes]:
        """The content of a file, from the blocks in its inode; holes and unwritten extents are zeros."""
        if one.size == 0:
            return
        found = self._asked(f"inode {one.id}", "p " + " ".join(_CORE))
        if found.get("core.format", "")[:1] not in ("2", "3") or found.get("core.realtime", "0") != "0":
            raise SourceError(f"{one.name} cannot be read: its blocks are not on the data part of the file system")
        out = self._said(f"inode {one.id}", "bmap")
        extents = sorted(tuple(int(number) for number in match.groups()) for match in _EXTENT.finditer(out))
        at = 0
        with open(self._view, "rb", buffering=0) as disk:
            for offset, group, block, count, flag in extents:
                start = offset * self._at.block
                if start >= one.size:
                    break
                yield from _zeros(start - at)
                length = min(count * self._at.block, one.size - start)
                where = (group * self._at.group + block) * self._at.block
                yield from _zeros(length) if flag else _bytes(disk.fileno(), where, length, one.name)
                at = start + length
        yield from _zeros(one.size - at)

    def _several(self, names: list[tuple[str, bytes]]) -> Iterator[Entry]:
        asked = [word for number, _ in names for word in (f"inode {number}", "p " + " ".join(_CORE))]
        parts = re.split(rb"(?=^core\.mode = )", self._said(*asked), flags=re.MULTILINE)[1:]
        if len(parts) != len(names):
            raise SourceError("inodes cannot be read: the file system is damaged")
        for (number, name), part in zip(names, parts, strict=True):
            yield _entry(number, shown(name), _fields(part))

    def _inode(self, one: Entry) -> Entry:
        return _entry(one.id, one.name, self._asked(f"inode {one.id}", "p " + " ".join(_CORE)))

    def _asked(self, *commands: str) -> Mapping[str, str]:
        return _fields(self._said(*commands))

    def _said(self, *commands: str) -> bytes:
        ended = run(["xfs_db", "-r", *(word for one in commands for word in ("-c", one)), self._view])
        if ended.code or len(ended.out) >= KEPT:
            raise SourceError(f"xfs_db cannot read it: {ended.err or f'exit code {ended.code}'}")
        return ended.out


def _names(out: bytes) -> Iterator[tuple[str, bytes]]:
    """(inode number, name) of each entry; a name may contain a line end."""
    at = 0
    while at < len(out):
        if match := _LINE.match(out, at):
            at = match.end() + int(match[2])
            yield match[1].decode(), out[match.end() : at]
        at = out.find(b"\n", at) + 1 or len(out)


def _fields(text: bytes) -> Mapping[str, str]:
    lines = (line.partition(b" = ") for line in text.split(b"\n"))
    return {name.decode("ascii", "replace"): value.decode("ascii", "replace") for name, sign, value in lines if sign}


def _entry(number: str, name: str, found: Mapping[str, str]) -> Entry:
    try:
        mode = int(found["core.mode"], 8)
        return Entry(
            id=number,
            name=name,
            kind=_KINDS.get(mode >> 12, Kind.OTHER),
            size=int(found["core.size"]),
            mode=mode,
            owner=int(found["core.uid"]),
            modified=float(timegm(strptime(found["core.mtime.sec"], "%a %b %d %H:%M:%S %Y"))),
        )
    except (KeyError, ValueError):
        raise SourceError(f"inode {number} of {name} cannot be read: it is damaged") from None


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, _CHUNK))
        count -= _CHUNK


def _bytes(disk: int, where: int, length: int, name: str) -> Iterator[bytes]:
    while length > 0:
        some = os.pread(disk, min(length, _CHUNK), where)
        if not some:
            raise SourceError(f"{name} cannot be read whole: the disk ends before it")
        yield some
        where, length = where + len(some), length - len(some)


READER: tuple[tuple[str, ...], Opening] = (("xfs",), Xfs)
