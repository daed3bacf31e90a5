# SPDX-License-Identifier: Apache-2.0
"""A block device mapping is marked deleted, Cinder's attachment stays."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "cinder-attached-nova-not",
    "cinder-attached-nova-not",
    "sql",
    "the block device mapping of an attached volume is marked deleted by hand",
)


def make(plane: Plane) -> dict[str, Any]:
    """As Nova marks it, but without telling Cinder."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    volume = scene.attached(server)
    statement = "UPDATE block_device_mapping SET deleted = id, deleted_at = UTC_TIMESTAMP() WHERE volume_id = %s"
    scene.sql(scene.cell, statement, volume)
    scene.past(servers=server, volumes=volume)
    return {"volume": volume, "server": server}
