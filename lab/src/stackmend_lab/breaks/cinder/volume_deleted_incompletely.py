# SPDX-License-Identifier: Apache-2.0
"""A volume is marked deleted by hand, its metadata is not."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "volume-deleted-incompletely",
    "volume-deleted-incompletely",
    "sql",
    "UPDATE volumes SET deleted=1, status='deleted', as found on the web",
)


def make(plane: Plane) -> dict[str, Any]:
    """The statement leaves the volume's metadata undeleted."""
    scene = Scene(plane, BREAK.name)
    volume = scene.volume()
    scene.cloud.block_storage.set_volume_metadata(volume, purpose="rehearsal")
    statement = "UPDATE volumes SET deleted = 1, status = 'deleted', deleted_at = UTC_TIMESTAMP() WHERE id = %s"
    scene.sql("cinder", statement, volume)
    scene.past(volumes=volume)
    return {"volume": volume}
