# SPDX-License-Identifier: Apache-2.0
"""An attached volume is set to available by hand."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "volume-status-attachment-mismatch",
    "volume-status-attachment-mismatch",
    "sql",
    "UPDATE volumes SET attach_status='detached', status='available', as found on the web",
)


def make(plane: Plane) -> dict[str, Any]:
    """The statement leaves attachment and mapping in place, and the disk in the guest."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    volume = scene.attached(server)
    statement = "UPDATE volumes SET attach_status = 'detached', status = 'available' WHERE id = %s"
    scene.sql("cinder", statement, volume)
    scene.past(servers=server, volumes=volume)
    return {"volume": volume, "server": server}
