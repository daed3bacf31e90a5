# SPDX-License-Identifier: Apache-2.0
"""What is on a disk: the vocabulary of its inspection. Sizes are bytes, times seconds since 1970.

Names and other words of a guest are escaped (:func:`shown`): they can be printed, typed again and made files of.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Journal(StrEnum):
    """How new what is shown of a file system is: never left unsaid."""

    CLEAN = "clean"
    REPLAYED = "replayed in a copy"
    STALE = "not replayed: older than the crash"
    NONE = ""  #: it has no journal, or is no file system that is read


class Kind(StrEnum):
    """What an entry of a directory is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"  #: a device, a pipe, a socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A run of bytes of the disk."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A part of a disk that may hold a file system: the whole of it, a partition, or a logical volume."""

    name: str  #: "disk", "p1", "vg/lv"
    size: int
    pieces: tuple[Piece, ...] = ()  #: in order; () where it cannot be put together: see ``problem``
    type: str = ""  #: as blkid names it: "ext4", "xfs", "swap", "crypto_LUKS", "LVM2_member"; "" for nothing known
    label: str = ""
    uuid: str = ""
    journal: Journal = Journal.NONE
    os: str = ""  #: what its os-release calls it
    mounted: float = 0.0  #: last time; 0 where it does not say
    problem: str = ""  #: why it is not read, or what was wrong with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a disk holds."""

    size: int
    table: str  #: "gpt", "dos", "" for none
    volumes: tuple[Volume, ...]
    notes: tuple[str, ...] = ()  #: what could not be understood

    def volume(self, name: str) -> Volume | None:
        """The volume of this name."""
        return next((one for one in self.volumes if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of a guest. The numbers are the guest's: nothing is ever given its owner or its mode."""

    id: str  #: by which the reader finds it again
    name: str
    kind: Kind
    size: int = 0
    mode: int = 0
    owner: int = 0
    modified: float = 0.0
    target: str = ""  #: of a link


#: file systems that are read
READ = frozenset({"ext2", "ext3", "ext4", "xfs", "vfat", "iso9660"})


def shown(name: bytes) -> str:
    r"""The name of a file as it is printed: what is not printable is ``\xNN``, a backslash is doubled, no slash."""
    text = name.decode("utf-8", "surrogateescape")
    return "".join(one if one.isprintable() and one not in "\\/" else _escaped(one) for one in text)


def _escaped(one: str) -> str:
    if one == "\\":
        return "\\\\"
    return "".join(f"\\x{byte:02x}" for byte in one.encode("utf-8", "surrogateescape"))
