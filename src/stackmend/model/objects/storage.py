# SPDX-License-Identifier: Apache-2.0
"""Back ends of storage, and what one of them holds."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    glance: bool = False  #: Glance keeps images there
    shared: bool = False  #: others, of whom nothing is known here, keep objects there, too
    program: tuple[str, ...] = ()  #: in place of the program of its kind
    limit: float = 600.0  #: seconds that listing it may take
    asked: int = 2000  #: of how many objects at most it is asked who has them open


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One object whose name is one that Cinder or Nova give."""

    name: str  #: as the back end calls it: a path below the folder, image@snapshot
    kind: str  #: "volume", "snapshot", "disk", "image" or "image-snapshot"
    uuid: str  #: of the volume, snapshot, server or image, from its name
    #: "": it is used under its own name; "trash"; "deleted": kept by Cinder for its clones; "overlay"
    role: str = ""
    ref: str = ""  #: how the trash calls it; of an image, a location of Glance without its snapshot
    origin: str = ""  #: of a snapshot: the uuid of the volume that it is of
    parent: str = ""  #: the name of the object that it is based on, with its place if that is another pool
    size: int | None = None  #: bytes
    modified: datetime | None = None  #: UTC, if the back end says so
    locked: bool = False
    used: str = ""  #: what shows that somebody has it open; "": nothing, which proves little


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Everything that one back end holds."""

    objects: tuple[Stored, ...]
    others: int = 0  #: objects with other names
    #: for each object that is based on another one, also of other names, that one, named as in :attr:`Stored.parent`
    parents: tuple[str, ...] = ()
    #: folders whose objects were all seen, "" for a back end that has no folders in it
    folders: tuple[str, ...] = ("",)
    closed: tuple[tuple[str, str], ...] = ()  #: (folder, why it says nothing)
    cluster: str = ""  #: the id by which others name the cluster of a pool
    cluster_unread: str = ""  #: why that is not known although it was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Who has one object open, and who holds its lock: addresses as ``rbd`` writes them."""

    name: str
    watchers: tuple[str, ...] = ()  #: addresses; a client that died is one for 30 seconds more
    owner: str = ""  #: address of the holder of the lock; "": nobody holds it
    locker: str = ""  #: likewise, as "client.4711"
    lock: str = ""  #: the id of the lock
    managed: bool = False  #: a client took the lock by itself in order to write, and nobody did by hand
    alive: bool = False  #: the holder has it open
    barred: str = ""  #: until when the holder is blocklisted


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What was asked of some objects. One that is gone by now is in neither."""

    clients: tuple[Clients, ...] = ()
    unread: dict[str, str] = field(default_factory=dict)  #: name -> why it is not known of this one
    bars_unread: str = ""  #: why it is not known who is blocklisted
