# SPDX-License-Identifier: Apache-2.0
"""Operations by which a volume is copied to be read: a snapshot, a volume of it, attached read-only to a helper.

Neither snapshot nor copy has an id when the plan is made: both are known by a name that nothing else has.
"""

from __future__ import annotations

from typing import TypedDict

from stackmend.model.operations.block_storage import CinderOperation
from stackmend.model.operations.compute import NovaOperation

#: how a snapshot and its copy are called, before the id of the server that is inspected
NAME = "stackmend-inspect-"


class CopySeen(TypedDict, total=False):
    """A snapshot and the volume that was made of it, by their name."""

    snapshot: str  #: Cinder's status of it, or "absent"
    snapshot_id: str | None
    copy: str  #: Cinder's status of it, or "absent"
    copy_id: str | None
    readonly: bool
    helper: str | None  #: the server that has it


class CopyOperation(CinderOperation[CopySeen], frozen=True, kw_only=True):
    """One on the snapshot of a volume, or on the copy that was made of it."""

    volume: str
    name: str


class SnapshotVolume(CopyOperation, frozen=True, kw_only=True):
    """Make a snapshot of a volume that may be in use, seen to its end."""

    NAME = "snapshot-volume"


class DropVolumeSnapshot(CopyOperation, frozen=True, kw_only=True):
    """Delete that snapshot."""

    NAME = "drop-volume-snapshot"


class CopySnapshot(CopyOperation, frozen=True, kw_only=True):
    """Make a volume of that snapshot, seen to its end."""

    NAME = "copy-snapshot"

    size: int  #: GiB


class DropCopy(CopyOperation, frozen=True, kw_only=True):
    """Delete that volume."""

    NAME = "drop-copy"


class SetCopyReadOnly(CopyOperation, frozen=True, kw_only=True):
    """Let nobody write to that volume whoever it is attached to."""

    NAME = "set-copy-read-only"


class CopyAtOperation(NovaOperation[CopySeen], frozen=True, kw_only=True):
    """One on the copy of a volume and the server that it is attached to."""

    server: str
    name: str


class AttachCopy(CopyAtOperation, frozen=True, kw_only=True):
    """Attach the copy to a server, seen to its end in Cinder."""

    NAME = "attach-copy"


class DetachCopy(CopyAtOperation, frozen=True, kw_only=True):
    """Detach the copy from a server, seen to its end in Cinder."""

    NAME = "detach-copy"
