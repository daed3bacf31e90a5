# SPDX-License-Identifier: Apache-2.0
"""A snapshot is marked deleted by hand, without a time of deletion."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "snapshot-deleted-incompletely",
    "snapshot-deleted-incompletely",
    "sql",
    "UPDATE snapshots SET deleted=1 without a time of deletion",
)


def make(plane: Plane) -> dict[str, Any]:
    """The row is never purged, and neither is its volume's."""
    scene = Scene(plane, BREAK.name)
    volume = scene.volume()
    snapshot = scene.cloud.block_storage.create_snapshot(volume_id=volume, name=scene.name())
    scene.wait_row("cinder", "SELECT id FROM snapshots WHERE id = %s AND status = 'available'", snapshot.id)
    scene.sql("cinder", "UPDATE snapshots SET deleted = 1, status = 'deleted' WHERE id = %s", snapshot.id)
    scene.past(volumes=volume)
    return {"snapshot": str(snapshot.id)}
