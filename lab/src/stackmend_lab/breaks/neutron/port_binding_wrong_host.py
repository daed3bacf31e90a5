# SPDX-License-Identifier: Apache-2.0
"""A server's port is bound to a host the server is not on."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "port-binding-wrong-host",
    "port-binding-wrong-host",
    "service",
    "the port of a running server is bound to another host by a call to Neutron",
)


def make(plane: Plane) -> dict[str, Any]:
    """Neutron binds it there without asking Nova."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    (port,) = scene.ports(server)
    scene.cloud.network.update_port(port, binding_host_id=scene.other_host())
    scene.past(servers=server)
    return {"server": server, "port": port}
