# SPDX-License-Identifier: Apache-2.0
"""Config drives and EFI partitions (vfat, iso9660): extracted completely into a folder of the sandbox, and read there.

mcopy and bsdtar create regular files owned by this account; anything else they create is neither followed nor shown as
a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stackmend.drivers.disks.programs import run
from stackmend.drivers.disks.tree import Opening
from stackmend.model.errors import SourceError
from stackmend.model.objects.inspection import Entry, Kind, shown

#: maximum size in bytes of a file system to extract: the sandbox's folder holds twice as much
LARGEST = 256 << 20
_CHUNK = 1 << 20
_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.LINK}


class Small:
    """One extracted file system."""

    def __init__(self, view: Path) -> None:
        size = view.stat().st_size
        if size > LARGEST:
            raise SourceError(f"it has {size} bytes: of vfat and iso9660 no more than {LARGEST} are read")
        self._folder = view.parent.with_name(f"{view.parent.name}.files")
        if self._folder.exists():
            return
        self._folder.mkdir(mode=0o700)
        with view.open("rb") as file:
            file.seek(0x8001)
            iso = file.read(5) == b"CD001"
        fat = ("mcopy", "-s", "-n", "-Q", "-i", str(view), "::", str(self._folder))
        cd = ("bsdtar", "-x", "-f", str(view), "-C", str(self._folder), "--no-same-owner", "--no-same-permissions")
        ended = run(cd if iso else fat)
        if ended.code and not any(self._folder.iterdir()):
            raise SourceError(f"it cannot be read: {ended.err or f'exit code {ended.code}'}")

    def root(self) -> Entry:
        """The root directory."""
        return Entry(id="", name="/", kind=Kind.DIRECTORY, mode=0o040755)

    def entries(self, at: Entry) -> Iterator[Entry]:
        """The entries of a directory."""
        with os.scandir(os.fsencode(self._folder / at.id)) as found:
            for one in found:
                seen = one.stat(follow_symlinks=False)
                yield Entry(
                    id=os.path.join(at.id, os.fsdecode(one.name)),
                    name=shown(one.name),
                    kind=_KINDS.get(stat.S_IFMT(seen.st_mode), Kind.OTHER),
                    size=seen.st_size,
                    mode=seen.st_mode,
                    modified=seen.st_mtime,
                )

    def looked(self, one: Entry) -> Entry:
        """The entry with the target of a link."""
        if one.kind is not Kind.LINK:
            return one
        target = os.readlink(os.fsencode(self._folder / one.id))
        return replace(one, target="/".join(shown(part) for part in target.split(b"/")))

    def read(self, one: Entry) -> Iterator[bytes]:
        """The content of a file."""
        handle = os.open(os.fsencode(self._folder / one.id), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            while some := file.read(_CHUNK):
                yield some


READER: tuple[tuple[str, ...], Opening] = (("vfat", "iso9660"), Small)
