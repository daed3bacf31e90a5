# SPDX-License-Identifier: Apache-2.0
"""Operations of Cinder."""

from __future__ import annotations

from typing import Generic, TypedDict

from msgspec import UNSET, UnsetType

from stackmend.model.operations import Operation, Seen
from stackmend.model.operations.servers import Presence, ServerSeen
from stackmend.model.operations.waiting import LeftSeen


class CinderOperation(Operation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """Base of Cinder's operations."""

    SERVICE = "block-storage"


class VolumeSeen(TypedDict, total=False):
    """A volume in Cinder."""

    volume: Presence
    status: str | None
    migration: str | None
    attachments: int  #: number of its attachments in Cinder


class AttachmentSeen(ServerSeen, total=False):
    """An attachment with its volume, instance and status, and its server."""

    attachment: Presence
    volume: str | None
    instance: str | None
    status: str | None


class SnapshotSeen(TypedDict, total=False):
    """A snapshot in Cinder."""

    snapshot: Presence
    status: str | None
    volume: str | None


class VolumeOperation(CinderOperation[VolumeSeen], frozen=True, kw_only=True):
    """Base of the operations on a volume."""

    volume: str


class RollDetaching(VolumeOperation, frozen=True, kw_only=True):
    """Return a volume from detaching to in-use."""

    NAME = "roll-detaching"


class BeginDetaching(VolumeOperation, frozen=True, kw_only=True):
    """Mark an in-use volume as detaching."""

    NAME = "begin-detaching"


class ResetStatus(VolumeOperation, frozen=True, kw_only=True):
    """Set the status of a volume, and its attach_status if given."""

    NAME = "reset-status"

    status: str
    attach_status: str | UnsetType = UNSET


class ResetSnapshotStatus(CinderOperation[SnapshotSeen], frozen=True, kw_only=True):
    """Set the status of a snapshot."""

    NAME = "reset-snapshot-status"

    snapshot: str
    status: str


class DeleteVolume(VolumeOperation, frozen=True, kw_only=True):
    """Delete a volume."""

    NAME = "delete-volume"


class DeleteAttachment(CinderOperation[AttachmentSeen], frozen=True, kw_only=True):
    """Delete an attachment."""

    NAME = "delete-attachment"

    attachment: str


class VolumesAway(CinderOperation[LeftSeen], frozen=True, kw_only=True):
    """Wait until none of these volumes is attached to the host."""

    NAME = "host-empty"

    host: str
    volumes: tuple[str, ...]
