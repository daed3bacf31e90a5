# SPDX-License-Identifier: Apache-2.0
"""Back ends of storage, and what one of them holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BackEnd:
    """One back end, as the operator configured it."""

    name: str
    kind: str  #: a module of :mod:`stackmend.drivers.storage.kinds`
    place: str  #: the pool, volume group or folder
    host: str = ""  #: where it is asked; "": this machine
    cinder: tuple[str, ...] = ()  #: host@backend, host@backend#pool or cluster@backend of its volumes
    nova: bool = False  #: Nova keeps disks of servers there
    shared: bool = False  #: others, of whom nothing is known here, keep objects there, too
    program: tuple[str, ...] = ()  #: in place of the program of its kind
    limit: float = 600.0  #: seconds that listing it may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One object whose name is one that Cinder or Nova give."""

    name: str  #: as the back end calls it: a path below the folder, image@snapshot
    kind: str  #: "volume", "snapshot" or "disk"
    uuid: str  #: of the volume, snapshot or server, from its name
    #: "": it is used under its own name; "trash"; "deleted": kept by Cinder for its clones; "overlay"
    role: str = ""
    ref: str = ""  #: how the trash calls it
    origin: str = ""  #: of a snapshot: the uuid of the volume that it is of
    parent: str = ""  #: the name of the object that it is based on, if that is on the same back end
    size: int | None = None  #: bytes
    modified: datetime | None = None  #: UTC, if the back end says so
    used: str = ""  #: what shows that somebody has it open; "": nothing, which proves little


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Everything that one back end holds."""

    objects: tuple[Stored, ...]
    others: int = 0  #: objects with other names
    parents: tuple[str, ...] = ()  #: for each object that is based on another one, also of other names, that one
    #: folders whose objects were all seen, "" for a back end that has no folders in it
    folders: tuple[str, ...] = ("",)
    closed: tuple[tuple[str, str], ...] = ()  #: (folder, why it says nothing)
