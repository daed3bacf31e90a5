# SPDX-License-Identifier: Apache-2.0
"""Operations that delete a server and create it again on the same ports.

The new server has no id when the plan is made: until it is verified it is identified by a unique tag.
"""

from __future__ import annotations

import hashlib
from typing import Any, Generic, TypedDict

from msgspec import UNSET

from stackmend.model.operations import Operation, OptionalSeconds, Seen
from stackmend.model.operations.compute import NovaOperation
from stackmend.model.operations.network import NeutronOperation
from stackmend.model.operations.servers import Presence, ServerSeen

#: placeholders in a plan for an image that does not exist yet, and for user data, which no plan holds
OF_SNAPSHOT, OF_OLD = "(the image made of the old server)", "(that of the old server)"


def digest(user_data: str) -> str:
    """SHA-256 that identifies user data, "" if there is none."""
    return hashlib.sha256(user_data.encode()).hexdigest() if user_data else ""


# -- the old server


class SnapshotSeen(ServerSeen, total=False):
    """An image, found by name, and the server it is made from."""

    image: str  #: its status in Glance, or "absent"
    image_id: str | None


class SnapshotServer(NovaOperation[SnapshotSeen], frozen=True, kw_only=True):
    """Create an image of a server's root disk, and wait until it is active."""

    NAME = "snapshot-server"

    server: str
    image: str  #: its name, unique among images
    limit: OptionalSeconds = UNSET


class DropSnapshot(Operation[SnapshotSeen], frozen=True, kw_only=True):
    """Delete the image that was created from a server."""

    SERVICE = "image"
    NAME = "drop-snapshot"

    image: str
    server: str


class EndSeen(ServerSeen, total=False):
    """A server, and whether a volume is deleted with it: None if that volume is not attached to it."""

    ends: bool | None


class SetVolumeEnd(NovaOperation[EndSeen], frozen=True, kw_only=True):
    """Set whether a volume is deleted with its server."""

    NAME = "set-volume-end"

    server: str
    volume: str
    ends: bool


class ParkedSeen(ServerSeen, total=False):
    """A port, and the server it belongs, or belonged, to."""

    port: Presence
    device_id: str
    mac_address: str | None
    addresses: list[str]
    binding: str


class ParkPort(NeutronOperation[ParkedSeen], frozen=True, kw_only=True):
    """Detach a port from a server that is about to be deleted: Nova deletes or unbinds those it still has."""

    NAME = "park-port"

    port: str
    server: str


class UnparkPort(NeutronOperation[ParkedSeen], frozen=True, kw_only=True):
    """Return a port to the server it was detached from."""

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
    """Delete a server, immediately even if Nova would defer it, and wait until it is gone."""

    NAME = "delete-server"

    server: str


class KeptSeen(TypedDict, total=False):
    """What is not as before, in words."""

    lacking: str
    gone: bool  #: whether part of it is irrecoverably lost


class PartsKept(NeutronOperation[KeptSeen], frozen=True, kw_only=True):
    """Verify that ports, volumes and the image exist and are unused, and that the ports have their addresses."""

    NAME = "parts-kept"

    server: str
    ports: dict[str, list[str]]  #: port -> its MAC address, then its IP addresses in order
    volumes: list[str]
    image: str  #: name of the image, "" for none


# -- the new server


class RecreatedSeen(ServerSeen, total=False):
    """The recreated server, found by its tag, and what it is created from."""

    id: str | None
    launched: bool  #: whether it was ever running
    failure: str
    claimed: list[str]  #: ports of the old server that are in use
    image: str | None
    #: a list holding one text, as plain texts in here may be copied into notes
    user_data: list[str]


class _OfNew(NovaOperation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """Base of the operations on the recreated server."""

    tag: str


class RecreateServer(_OfNew[RecreatedSeen], frozen=True, kw_only=True):
    """Create the server again, and wait until it is active."""

    NAME = "recreate-server"

    server: str  #: the old one, whose user data Nova still has
    ports: list[str]
    body: dict[str, Any]
    image: str  #: name of the image whose id is put into ``body``, "" for none
    user_data: str  #: SHA-256 of the old server's, "" for none
    microversion: str


class ServesSeen(ServerSeen, total=False):
    """The recreated server, and what it lacks, in words."""

    id: str | None
    lacking: str


class RecreatedServes(_OfNew[ServesSeen], frozen=True, kw_only=True):
    """Wait until the recreated server runs, with the same ports, addresses and volumes, all in use."""

    NAME = "recreated-serves"

    ports: dict[str, list[str]]
    volumes: list[str]


class NewEndSeen(EndSeen, total=False):
    """The recreated server, and whether a volume is deleted with it."""

    id: str | None


class EndOfRecreated(_OfNew[NewEndSeen], frozen=True, kw_only=True):
    """Set whether a volume is deleted with the recreated server."""

    NAME = "end-of-recreated"

    volume: str
    ends: bool


class UntagRecreated(_OfNew[RecreatedSeen], frozen=True, kw_only=True):
    """Remove the tag that identified the recreated server."""

    NAME = "untag-recreated"


# -- a failed build


class UnclaimedSeen(ParkedSeen, total=False):
    """A port, and the recreated server."""

    id: str | None
    launched: bool


class UnclaimPort(NeutronOperation[UnclaimedSeen], frozen=True, kw_only=True):
    """Detach a port from a recreated server that failed to build."""

    NAME = "unclaim-port"

    port: str
    tag: str


class FailedSeen(DoomedSeen, total=False):
    """The recreated server, whether it was ever running, and what would be deleted with it."""

    id: str | None
    launched: bool


class DropFailed(_OfNew[FailedSeen], frozen=True, kw_only=True):
    """Delete the recreated server if it failed to build; a server that was ever running stays."""

    NAME = "drop-failed"
