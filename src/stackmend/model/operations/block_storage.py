# SPDX-License-Identifier: Apache-2.0
"""Operations of Cinder."""

from __future__ import annotations

from typing import Generic, TypedDict

from msgspec import UNSET, UnsetType

from stackmend.model.operations import Operation, Seen
from stackmend.model.operations.servers import Presence, ServerSeen
from stackmend.model.operations.waiting import LeftSeen


class CinderOperation(Operation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """One of Cinder."""

    SERVICE = "block-storage"


class VolumeSeen(TypedDict, total=False):
    """A volume as Cinder shows it."""

    volume: Presence
    status: str | None
    migration: str | None
    attachments: int  #: how many servers and hosts it says it is attached to


class AttachmentSeen(ServerSeen, total=False):
    """An attachment, what its volume says, and its server."""

    attachment: Presence
    volume: str | None
    instance: str | None
    status: str | None


class VolumeOperation(CinderOperation[VolumeSeen], frozen=True, kw_only=True):
    """One on a volume."""

    volume: str


class RollDetaching(VolumeOperation, frozen=True, kw_only=True):
    """A volume that is being detached is in use again."""

    NAME = "roll-detaching"


class BeginDetaching(VolumeOperation, frozen=True, kw_only=True):
    """A volume in use is being detached."""

    NAME = "begin-detaching"


class ResetStatus(VolumeOperation, frozen=True, kw_only=True):
    """Set what a volume says of itself."""

    NAME = "reset-status"

    status: str
    attach_status: str | UnsetType = UNSET


class DeleteVolume(VolumeOperation, frozen=True, kw_only=True):
    """Delete a volume."""

    NAME = "delete-volume"


class DeleteAttachment(CinderOperation[AttachmentSeen], frozen=True, kw_only=True):
    """Delete an attachment."""

    NAME = "delete-attachment"

    attachment: str


class VolumesAway(CinderOperation[LeftSeen], frozen=True, kw_only=True):
    """Wait until none of these volumes is attached to a host."""

    NAME = "host-empty"

    host: str
    volumes: tuple[str, ...]
