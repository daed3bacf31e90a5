# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of the inventory of an instances directory. Sizes are in bytes, times in seconds since 1970.

Names are as in the file system; bytes that are not valid UTF-8 become surrogates, as with :func:`os.fsdecode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: stackmend's own folders inside an instances directory: work in progress, and what was moved aside
WORK, QUARANTINE = ".stackmend-salvage", ".stackmend-quarantine"
#: Nova's default directory for servers' disks (``instances_path`` in [DEFAULT])
INSTANCES = "/var/lib/nova/instances"


class EntryKind(StrEnum):
    """What an entry of an instances directory is, judging by its name."""

    SERVER = "server"  #: <uuid>, or instance-xxxxxxxx in very old releases
    RESIZE = "resize"  #: <uuid>_resize: the source of a resize or cold migration that has not been confirmed
    LEFTOVER = "leftover"  #: <uuid>_del, <uuid>_rescue and the like
    OTHER = "other"  #: nothing that Nova creates for a server


class Ownership(StrEnum):
    """To which server a directory belongs. Only NOBODY, ELSEWHERE and DELETED may be orphans."""

    HERE = "here"  #: a server of this host
    MOVING = "moving"  #: a move between this host and another is in progress, or awaits Nova's clean-up
    ELSEWHERE = "elsewhere"  #: its server is on another host
    DELETED = "deleted"  #: its server is deleted
    NOBODY = "nobody"  #: no cell has such a server or a build request for one
    UNKNOWN = "unknown"  #: undecided: not every source that could know was read


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image file, as ``qemu-img info`` sees it by itself: no file that it names is opened."""

    path: str  #: relative to the instances directory
    size: int  #: of the file, in bytes
    allocated: int  #: space used on disk
    format: str = ""  #: "" if it could not be read
    virtual_size: int = 0
    backing: str = ""  #: backing file, as the image names it
    backing_format: str = ""
    problem: str = ""  #: why it is broken or cannot be read
    check: str = ""  #: result of ``qemu-img check``: "clean", "leaks", "corrupt: ...", "" if it was not run


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk of a server: its image file and the backing files of that."""

    image: Image
    chain: tuple[str, ...] = ()  #: backing files, nearest first, relative to the instances directory
    problems: tuple[str, ...] = ()  #: of the whole chain

    @property
    def whole(self) -> bool:
        """Whether the disk is usable."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The directory of a server."""

    name: str
    kind: EntryKind
    server: str = ""  #: UUID; "" if it could not be derived from an old name
    modified: float = 0.0  #: the latest modification time of the directory and its files
    identity: str = ""  #: identifies the directory, whatever it is named (_disk_scripts.IDENTITY)
    size: int = 0
    allocated: int = 0
    files: tuple[str, ...] = ()  #: names of the files in it
    disks: tuple[Disk, ...] = ()
    formats: str = ""  #: the contents of its disk.info, verbatim
    open_by: tuple[str, ...] = ()  #: processes with open files in it: "1234 qemu-system-x86"
    domain: str = ""  #: name of the libvirt domain defined for the server on this host
    nvram: str = ""  #: file with the UEFI variables
    vtpm: bool = False
    saved: bool = False  #: a suspended guest: libvirt keeps its memory in a file
    problems: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """Everything wrong with the directory, in words."""
        return (*self.problems, *(f"{d.image.path}: {text}" for d in self.disks for text in d.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A file in ``_base``."""

    image: Image
    kind: str  #: "image", "ephemeral", "swap", "other"
    used_by: tuple[str, ...] = ()  #: images with this file in their chain
    open_by: tuple[str, ...] = ()
    missing: bool = False  #: named in a chain, but not there
    modified: float = 0.0  #: Nova updates it on base images in use


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The file system that holds an instances directory."""

    mount: str
    source: str
    type: str
    free: int  #: bytes
    free_files: int  #: -1 if the file system does not count them
    shared: bool | None  #: None if undecided
    why: str  #: how ``shared`` was determined
    users: Mapping[str, float] = field(default_factory=dict)  #: host -> when Nova there last registered as a user of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The contents of an instances directory."""

    host: str
    path: str
    owner: str  #: uid:gid of the directory
    storage: Storage
    folders: tuple[Folder, ...] = ()
    bases: tuple[Base, ...] = ()
    other: tuple[str, ...] = ()  #: entries that are neither
    notes: tuple[str, ...] = ()  #: what could not be read, in words
    every_process: bool = True  #: whether the open files of every process could be seen
    quarantined: bool = False  #: whether directories were moved aside here; their disks are not examined

    def folder(self, name: str) -> Folder | None:
        """The directory with this name, or of this server."""
        return next((f for f in self.folders if name == f.name), None) or next(
            (f for f in self.folders if name == f.server and f.kind is EntryKind.SERVER), None
        )

    def base(self, path: str) -> Base | None:
        """The base image at this path relative to the instances directory."""
        return next((base for base in self.bases if base.image.path == path), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryOwner:
    """What Nova says about the server that a directory is named after."""

    verdict: Ownership
    why: str
    server: str = ""
    host: str = ""
    name: str = ""
    state: str = ""  #: vm_state
    cell: str = ""  #: where its row was read; "" if read through the API
    row: int = 0  #: id of its row


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What was read from one host at one time: its instances directory, and the owner of each directory."""

    inventory: Inventory
    owners: Mapping[str, DirectoryOwner]  #: by name of the directory
    now: float
    ages: Mapping[str, int] = field(default_factory=dict)  #: of the check being evaluated, in seconds
