# SPDX-License-Identifier: Apache-2.0
"""A server is deleted while its host is dead and Cinder does not answer."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "volume-in-use-server-gone",
    "volume-in-use-server-gone",
    "service",
    "a server is deleted while its host is dead and cinder-api is down; the host is set up anew",
)


def make(plane: Plane) -> dict[str, Any]:
    """Nova's API deletes the server locally, ignoring that Cinder does not answer."""
    scene = Scene(plane, BREAK.name)
    server = scene.server([])
    volume = scene.attached(server)
    compute = f"nova-compute-{scene.host}"
    scene.crash(compute)
    with plane.forced_down(scene.host):
        plane.stop("cinder-api")
        scene.cloud.compute.delete_server(server)
        scene.wait_row(scene.cell, "SELECT uuid FROM instances WHERE uuid = %s AND deleted = id", server)
        scene.lose_guest(scene.host, server)
    scene.revive("cinder-api", compute)
    scene.past(servers=server, volumes=volume)
    return {"volume": volume}
