# SPDX-License-Identifier: Apache-2.0
"""Images, and their content as each node of Glance and each of its stores has it. Sizes are bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: scheme of a location that is a file of a node
FILE = "file"
#: what a filesystem store keeps by default (``filesystem_store_datadir``)
DATADIR = "/var/lib/glance/images"
#: statuses of an image whose content must be there
ACTIVE = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """An image that is active, as Glance records it."""

    id: str
    name: str = ""
    size: int = 0
    algorithm: str = ""  #: os_hash_algo; "md5" where only the old checksum is known, "" where none is
    digest: str = ""  #: os_hash_value
    owner: str = ""
    #: schemes of its locations that are not deleted ("file", "rbd"); None where they are not known
    schemes: tuple[str, ...] | None = None

    @property
    def by_files_alone(self) -> bool | None:
        """Whether one file of each node is all there is of it; None where that is not known."""
        return None if self.schemes is None else self.schemes == (FILE,)


class Held(StrEnum):
    """What a node has of an image."""

    WHOLE = "whole"  #: as recorded, as far as it was read
    MISSING = "missing"
    SIZE = "size"  #: it has another size
    HASH = "hash"  #: it has the size, and other content
    UNREAD = "unread"  #: nobody knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of one image on one node."""

    held: Held
    size: int | None = None  #: as it was read
    digest: str = ""  #: as it was read, "" where only the size was looked at
    why: str = ""  #: of what is not whole
    read: int = 0  #: bytes that were read for it


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file in a store."""

    name: str
    size: int
    modified: float  #: seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What a store lies on."""

    type: str = ""
    source: str = ""
    shared: bool | None = None  #: None where it cannot be told


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of Glance: its API, or its store as the files there show it."""

    name: str  #: "http://10.0.0.11:9292", "glance-01:/var/lib/glance/images"
    api: bool
    host: str = ""  #: of a store
    path: str = ""
    held: Mapping[str, Content] = field(default_factory=dict)  #: by image; what was not asked for is not in it
    files: tuple[StoredFile, ...] = ()  #: of a store
    storage: Storage = Storage()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreVisit:
    """What was read of all nodes, and what Glance has recorded."""

    nodes: tuple[Node, ...]
    images: Mapping[str, ImageRecord]  #: those that are active, and of which something must be there
    #: ids that a file in a store may have: of every image that is not deleted, and of those that wait to be scrubbed;
    #: None where that is not known
    known: frozenset[str] | None
    now: float
    ages: Mapping[str, int] = field(default_factory=dict)  #: of the check that is asked, in seconds


#: (node, image) -> what became of it, while nodes are read
Told = Callable[[str, str, Content], None]
