# SPDX-License-Identifier: Apache-2.0
"""A server's port is left behind when the server is gone."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait

BREAK = Break(
    "port-without-server",
    "port-without-server",
    "service",
    "a port is made for a server in the moment in which that server is deleted (a late retry of a build)",
)


def make(plane: Plane) -> dict[str, Any]:
    """The deletion removes the ports it sees; one created a moment later stays."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    scene.cloud.compute.delete_server(server)
    gone = "SELECT uuid FROM instances WHERE uuid = %s AND deleted = id"
    wait(lambda: scene.sql(scene.cell, gone, server), f"server {server} to be deleted")
    late = {"name": "", "device_id": server, "device_owner": "compute:nova"}
    port = scene.own_port(**late, binding_host_id=scene.host)
    scene.past(servers=server, ports=port)
    return {"port": port}
