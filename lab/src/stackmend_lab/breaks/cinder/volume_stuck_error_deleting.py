# SPDX-License-Identifier: Apache-2.0
"""A volume is deleted, and the back end refuses."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait_volume

BREAK = Break(
    "volume-stuck-error-deleting",
    "volume-stuck-error-deleting",
    "service",
    "a volume is deleted while its back end refuses to delete anything",
)


def make(plane: Plane) -> dict[str, Any]:
    """The back end works again afterwards."""
    scene = Scene(plane, BREAK.name)
    volume = scene.volume()
    plane.lever("cinder", "delete", "fail")
    try:
        scene.cloud.block_storage.delete_volume(volume)
        wait_volume(scene.connection, volume, "error_deleting")
    finally:
        plane.release("cinder", "delete")
    scene.past(volumes=volume)
    return {"volume": volume}
