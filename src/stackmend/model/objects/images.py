# SPDX-License-Identifier: Apache-2.0
"""Images, and their content on each Glance node and in each of its stores. Sizes are in bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: scheme of a location that is a file on a node
FILE = "file"
#: the default folder of a filesystem store (``filesystem_store_datadir``)
DATADIR = "/var/lib/glance/images"
#: statuses of an image whose content must exist
ACTIVE = "active"
#: status of an image, or of a location, whose content the scrubber is still to remove
SCRUBBED_LATER = "pending_delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """Glance's record of an active image."""

    id: str
    name: str = ""
    size: int = 0
    algorithm: str = ""  #: os_hash_algo; "md5" if only the old checksum is known, "" if no hash is
    digest: str = ""  #: os_hash_value
    owner: str = ""
    #: schemes of its locations that are not deleted ("file", "rbd"); None if unknown
    schemes: tuple[str, ...] | None = None

    @property
    def by_files_alone(self) -> bool | None:
        """Whether its content exists only as a single file on each node; None if unknown."""
        return None if self.schemes is None else self.schemes == (FILE,)


class Held(StrEnum):
    """What a node has of an image."""

    WHOLE = "whole"  #: content as recorded, as far as it was read
    MISSING = "missing"
    SIZE = "size"  #: content of another size
    HASH = "hash"  #: content of the right size with another hash
    UNREAD = "unread"  #: unknown, because it could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of one image on one node."""

    held: Held
    size: int | None = None  #: the size that was found
    digest: str = ""  #: the hash that was found, "" if only the size was looked at
    why: str = ""  #: why it is not whole
    read: int = 0  #: number of bytes read to find out


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file in a store."""

    name: str
    size: int
    modified: float  #: seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The file system that holds a store."""

    type: str = ""
    source: str = ""
    shared: bool | None = None  #: None if that is unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Glance node, read through its API or as the files of its store."""

    name: str  #: "http://10.0.0.11:9292", "glance-01:/var/lib/glance/images"
    api: bool
    host: str = ""  #: the host of a store
    path: str = ""
    held: Mapping[str, Content] = field(default_factory=dict)  #: by image; images that were not looked at are absent
    files: tuple[StoredFile, ...] = ()  #: the files of a store
    storage: Storage = Storage()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreVisit:
    """What was read from all nodes, and Glance's records."""

    nodes: tuple[Node, ...]
    images: Mapping[str, ImageRecord]  #: the active images that must have content
    #: ids that a file in a store may have: of every image that is not deleted, and of those waiting to be scrubbed;
    #: None if unknown
    known: frozenset[str] | None
    now: float
    ages: Mapping[str, int] = field(default_factory=dict)  #: of the check being evaluated, in seconds


#: called with (node, image, content) as each image has been read
Told = Callable[[str, str, Content], None]
