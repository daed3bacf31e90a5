# SPDX-License-Identifier: Apache-2.0
"""A port is deleted while Nova's API is down, and Neutron is killed before it can send the event, which is lost."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "info-cache-stale-port",
    "info-cache-stale-port",
    "service",
    "a server's port is deleted while nova-api is down, and Neutron is killed before its event could get through",
)


def make(plane: Plane) -> dict[str, Any]:
    """Neutron would retry when nova-api is back. The server has a second NIC, which stays."""
    scene = Scene(plane, BREAK.name)
    server = scene.server([{"uuid": scene.network()}, {"uuid": scene.network(1)}])
    port = next(p.id for p in scene.cloud.network.ports(device_id=server, network_id=scene.network(1)))
    plane.stop("nova-api")
    scene.cloud.network.delete_port(port)
    scene.crash("neutron-api")
    scene.revive("neutron-api", "nova-api")
    scene.past(servers=server)
    return {"server": server, "port": str(port)}
