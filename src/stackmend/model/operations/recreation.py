# SPDX-License-Identifier: Apache-2.0
"""Operations by which a server is deleted and made again on the same ports.

The new server has no id when the plan is made: until it is seen to serve it is known by a tag that no other has.
"""

from __future__ import annotations

import hashlib
from typing import Any, Generic, TypedDict

from msgspec import UNSET

from stackmend.model.operations import Operation, Seconds, Seen
from stackmend.model.operations.compute import NovaOperation
from stackmend.model.operations.network import NeutronOperation
from stackmend.model.operations.servers import Presence, ServerSeen

#: what stands in a plan for an image that is not made yet, and for user data, which no plan holds
OF_SNAPSHOT, OF_OLD = "(the image made of the old server)", "(that of the old server)"


def digest(user_data: str) -> str:
    """By which user data is known again, "" where there is none."""
    return hashlib.sha256(user_data.encode()).hexdigest() if user_data else ""


# -- the old server


class SnapshotSeen(ServerSeen, total=False):
    """An image by its name, and the server that it is made of."""

    image: str  #: Glance's status of it, or "absent"
    image_id: str | None


class SnapshotServer(NovaOperation[SnapshotSeen], frozen=True, kw_only=True):
    """Make an image of a server's root disk, seen to its end."""

    NAME = "snapshot-server"

    server: str
    image: str  #: its name, that no other image has
    limit: Seconds = UNSET


class DropSnapshot(Operation[SnapshotSeen], frozen=True, kw_only=True):
    """Delete the image that was made of a server."""

    SERVICE = "image"
    NAME = "drop-snapshot"

    image: str
    server: str


class EndSeen(ServerSeen, total=False):
    """A server, and whether a volume of it is deleted with it: None where it has no such volume."""

    ends: bool | None


class SetVolumeEnd(NovaOperation[EndSeen], frozen=True, kw_only=True):
    """Say whether a volume is deleted with its server."""

    NAME = "set-volume-end"

    server: str
    volume: str
    ends: bool


class ParkedSeen(ServerSeen, total=False):
    """A port, and the server that it is, or was, of."""

    port: Presence
    device_id: str
    mac_address: str | None
    addresses: list[str]
    binding: str


class ParkPort(NeutronOperation[ParkedSeen], frozen=True, kw_only=True):
    """Take a port from a server that is about to be deleted: Nova deletes, or lets go of, what it has then."""

    NAME = "park-port"

    port: str
    server: str


class UnparkPort(NeutronOperation[ParkedSeen], frozen=True, kw_only=True):
    """Give a port back to the server that it was taken from."""

    NAME = "unpark-port"

    port: str
    server: str
    owner: str
    host: str


class DoomedSeen(ServerSeen, total=False):
    """A server, whether it is locked, and what would be deleted with it."""

    locked: bool
    ports: list[str]
    volumes: list[str]


class DeleteServer(NovaOperation[DoomedSeen], frozen=True, kw_only=True):
    """Delete a server, at once also where Nova would keep it for a while; seen to its end."""

    NAME = "delete-server"

    server: str


class KeptSeen(TypedDict, total=False):
    """What is not as it was, in words."""

    lacking: str
    gone: bool  #: whether something of it is gone for good


class PartsKept(NeutronOperation[KeptSeen], frozen=True, kw_only=True):
    """See that ports, volumes and the image are there, and nobody's, with the addresses that they had."""

    NAME = "parts-kept"

    server: str
    ports: dict[str, list[str]]  #: port -> its MAC address, then its addresses in order
    volumes: list[str]
    image: str  #: a name, "" for none


# -- the new server


class RecreatedSeen(ServerSeen, total=False):
    """The server that was made again, by its tag, and what it is made of."""

    id: str | None
    launched: bool  #: whether it ever ran
    failure: str
    claimed: list[str]  #: ports of the old one that somebody has
    image: str | None
    #: one text: a list, for whatever is a text in here may be told in notes
    user_data: list[str]


class _OfNew(NovaOperation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """One on the server that was made again."""

    tag: str


class RecreateServer(_OfNew[RecreatedSeen], frozen=True, kw_only=True):
    """Make a server again, seen until it is active."""

    NAME = "recreate-server"

    server: str  #: the old one, of which Nova still has the user data
    ports: list[str]
    body: dict[str, Any]
    image: str  #: name of the image that takes the place of an image in ``body``, "" for none
    user_data: str  #: SHA-256 of what the old one had, "" for none
    microversion: str


class ServesSeen(ServerSeen, total=False):
    """The server that was made again, and what it lacks, in words."""

    id: str | None
    lacking: str


class RecreatedServes(_OfNew[ServesSeen], frozen=True, kw_only=True):
    """Wait until the server that was made again runs, with the same ports, addresses and volumes, all in use."""

    NAME = "recreated-serves"

    ports: dict[str, list[str]]
    volumes: list[str]


class NewEndSeen(EndSeen, total=False):
    """The server that was made again, and whether a volume of it is deleted with it."""

    id: str | None


class EndOfRecreated(_OfNew[NewEndSeen], frozen=True, kw_only=True):
    """Say whether a volume is deleted with the server that was made again."""

    NAME = "end-of-recreated"

    volume: str
    ends: bool


class UntagRecreated(_OfNew[RecreatedSeen], frozen=True, kw_only=True):
    """Take the tag off, by which the server that was made again was known."""

    NAME = "untag-recreated"


# -- a build that failed


class UnclaimedSeen(ParkedSeen, total=False):
    """A port, and the server that was made again."""

    id: str | None
    launched: bool


class UnclaimPort(NeutronOperation[UnclaimedSeen], frozen=True, kw_only=True):
    """Take a port from a server that was made again and came to nothing."""

    NAME = "unclaim-port"

    port: str
    tag: str


class FailedSeen(DoomedSeen, total=False):
    """The server that was made again, whether it ever ran, and what would be deleted with it."""

    id: str | None
    launched: bool


class DropFailed(_OfNew[FailedSeen], frozen=True, kw_only=True):
    """Delete the server that was made again where it came to nothing; one that ever ran stays."""

    NAME = "drop-failed"
