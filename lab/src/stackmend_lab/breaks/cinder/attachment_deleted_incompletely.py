# SPDX-License-Identifier: Apache-2.0
"""An attachment is marked deleted by hand, without a time of deletion."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait_volume

BREAK = Break(
    "attachment-deleted-incompletely",
    "attachment-deleted-incompletely",
    "sql",
    "UPDATE volume_attachment SET deleted=1 without a time of deletion",
)


def make(plane: Plane) -> dict[str, Any]:
    """The row is never purged, and neither is its volume's."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    volume = scene.attached(server)
    row = scene.sql("cinder", "SELECT id FROM volume_attachment WHERE volume_id = %s AND deleted = 0", volume)[0]
    scene.cloud.compute.delete_volume_attachment(server, volume)
    wait_volume(scene.connection, volume, "available")
    scene.sql("cinder", "UPDATE volume_attachment SET deleted_at = NULL WHERE id = %s", row["id"])
    scene.past(servers=server, volumes=volume)
    return {"attachment": str(row["id"])}
