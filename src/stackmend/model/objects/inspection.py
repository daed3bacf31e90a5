# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of a disk inspection. Sizes are in bytes, times in seconds since 1970.

Names and other strings from a guest are escaped (:func:`shown`), so that they can be printed, typed and used as names
of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Journal(StrEnum):
    """How current the shown state of a file system is; always stated."""

    CLEAN = "clean"
    REPLAYED = "replayed in a copy"
    STALE = "not replayed: older than the crash"
    NONE = ""  #: no journal, or not a file system that can be read


class Kind(StrEnum):
    """The type of a directory entry."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"  #: a device, a pipe, a socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A contiguous range of bytes on the disk."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A part of a disk that may hold a file system: the whole disk, a partition, or a logical volume."""

    name: str  #: "disk", "p1", "vg/lv"
    size: int
    pieces: tuple[Piece, ...] = ()  #: in order; () if it cannot be assembled: see ``problem``
    type: str = ""  #: blkid's name for it: "ext4", "xfs", "swap", "crypto_LUKS", "LVM2_member"; "" if unknown
    label: str = ""
    uuid: str = ""
    journal: Journal = Journal.NONE
    os: str = ""  #: what its os-release calls it
    mounted: float = 0.0  #: time of the last mount; 0 if it is not recorded
    booted: float = 0.0  #: time of the last boot of its operating system; 0 if it is not recorded
    problem: str = ""  #: why it is not read, or what was wrong with it
    torn: bool = False  #: its guest may have written to it while it was read: it shows no single point in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The partitions and volumes of a disk."""

    size: int
    table: str  #: "gpt", "dos", "" for none
    volumes: tuple[Volume, ...]
    notes: tuple[str, ...] = ()  #: what could not be interpreted

    def volume(self, name: str) -> Volume | None:
        """The volume of this name."""
        return next((one for one in self.volumes if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file in a guest. The owner and mode are the guest's, and are never applied to anything."""

    id: str  #: the reader's handle of the file
    name: str
    kind: Kind
    size: int = 0
    mode: int = 0
    owner: int = 0
    modified: float = 0.0
    target: str = ""  #: of a symbolic link


#: default for the seconds that libguestfs may take to replay the logs of one disk
LIBGUESTFS = 300
#: file systems that can be read
READ = frozenset({"ext2", "ext3", "ext4", "xfs", "vfat", "iso9660"})


def shown(name: bytes) -> str:
    r"""A file name in printable form: unprintable characters and slashes become ``\xNN``, backslashes are doubled."""
    text = name.decode("utf-8", "surrogateescape")
    return "".join(one if one.isprintable() and one not in "\\/" else _escaped(one) for one in text)


def _escaped(one: str) -> str:
    if one == "\\":
        return "\\\\"
    return "".join(f"\\x{byte:02x}" for byte in one.encode("utf-8", "surrogateescape"))
