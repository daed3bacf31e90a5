# SPDX-License-Identifier: Apache-2.0
"""What an instances directory holds: the vocabulary of its inventory. Sizes are bytes, times seconds since 1970.

Names are as the file system has them; bytes that are no UTF-8 are surrogates, as :func:`os.fsdecode` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: folders of ours inside an instances directory: what is under way, and what was moved aside
WORK, QUARANTINE = ".stackmend-salvage", ".stackmend-quarantine"
#: where Nova keeps the disks of servers by default (``instances_path`` in its [DEFAULT])
INSTANCES = "/var/lib/nova/instances"


class EntryKind(StrEnum):
    """What an entry of an instances directory is, by its name."""

    SERVER = "server"  #: <uuid>, or instance-xxxxxxxx of very old releases
    RESIZE = "resize"  #: <uuid>_resize: the source of a resize or a cold migration that is not confirmed
    LEFTOVER = "leftover"  #: <uuid>_del, <uuid>_rescue and the like
    OTHER = "other"  #: nothing that Nova makes for a server


class Ownership(StrEnum):
    """Whose a directory is. Only NOBODY, ELSEWHERE and DELETED may be orphans."""

    HERE = "here"  #: a server of this host
    MOVING = "moving"  #: something is under way between this host and another, or waits to be cleaned up by Nova
    ELSEWHERE = "elsewhere"  #: its server lives on another host
    DELETED = "deleted"  #: its server is deleted
    NOBODY = "nobody"  #: no cell knows such a server, nor a request for one
    UNKNOWN = "unknown"  #: it cannot be told: not everything that could know it was read


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One file that holds a disk, as ``qemu-img info`` sees it alone: nothing that it names is opened."""

    path: str  #: below the instances directory
    size: int  #: of the file
    allocated: int  #: what it takes on disk
    format: str = ""  #: "" where it could not be read
    virtual_size: int = 0
    backing: str = ""  #: as the file names it
    backing_format: str = ""
    problem: str = ""  #: why it is broken, or cannot be read
    check: str = ""  #: of ``qemu-img check``: "clean", "leaks", "corrupt: ...", "" where it was not run


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk of a server: its file, and what that is based on."""

    image: Image
    chain: tuple[str, ...] = ()  #: its bases, next one first, below the instances directory
    problems: tuple[str, ...] = ()  #: of the whole chain

    @property
    def whole(self) -> bool:
        """Whether it can be used."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A directory of a server."""

    name: str
    kind: EntryKind
    server: str = ""  #: uuid; "" where the old name could not be told
    modified: float = 0.0  #: the youngest of it and its files
    identity: str = ""  #: which directory it is, whatever it is called (_disk_scripts.IDENTITY)
    size: int = 0
    allocated: int = 0
    files: tuple[str, ...] = ()  #: names in it
    disks: tuple[Disk, ...] = ()
    formats: str = ""  #: what its disk.info says, as it is
    open_by: tuple[str, ...] = ()  #: processes that have files of it open: "1234 qemu-system-x86"
    domain: str = ""  #: name of the libvirt domain that is defined for it on this host
    nvram: str = ""  #: file of UEFI variables
    vtpm: bool = False
    saved: bool = False  #: a suspended guest: its memory is in a file of libvirt
    problems: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """Everything that is wrong with it, in words."""
        return (*self.problems, *(f"{d.image.path}: {text}" for d in self.disks for text in d.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A file of ``_base``."""

    image: Image
    kind: str  #: "image", "ephemeral", "swap", "other"
    used_by: tuple[str, ...] = ()  #: files whose chain it is part of
    open_by: tuple[str, ...] = ()
    missing: bool = False  #: a chain names it, and it is not there
    modified: float = 0.0  #: Nova touches the bases that are in use


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What an instances directory lies on."""

    mount: str
    source: str
    type: str
    free: int  #: bytes
    free_files: int  #: -1 where the file system does not count them
    shared: bool | None  #: None where it cannot be told
    why: str  #: what ``shared`` is known by
    users: Mapping[str, float] = field(default_factory=dict)  #: host -> when Nova there last said that it uses it


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """An instances directory as it was found."""

    host: str
    path: str
    owner: str  #: uid:gid of the directory
    storage: Storage
    folders: tuple[Folder, ...] = ()
    bases: tuple[Base, ...] = ()
    other: tuple[str, ...] = ()  #: entries that are neither
    notes: tuple[str, ...] = ()  #: what could not be read, in words
    every_process: bool = True  #: whether open files of all processes were seen
    quarantined: bool = False  #: directories were moved aside here, and their disks are not looked at

    def folder(self, name: str) -> Folder | None:
        """The directory of this name or of this server."""
        return next((f for f in self.folders if name == f.name), None) or next(
            (f for f in self.folders if name == f.server and f.kind is EntryKind.SERVER), None
        )

    def base(self, path: str) -> Base | None:
        """The base at this path below the instances directory."""
        return next((base for base in self.bases if base.image.path == path), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryOwner:
    """What Nova says of the server that a directory is named after."""

    verdict: Ownership
    why: str
    server: str = ""
    host: str = ""
    name: str = ""
    state: str = ""  #: vm_state
    cell: str = ""  #: where its row was read; "" through the API
    row: int = 0  #: id of its row


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What was read of one host at a time: its instances directory, and then whose each directory is."""

    inventory: Inventory
    owners: Mapping[str, DirectoryOwner]  #: by the name of the directory
    now: float
    ages: Mapping[str, int] = field(default_factory=dict)  #: of the check that is asked, in seconds
