# SPDX-License-Identifier: Apache-2.0
"""A port is deleted while Nova's API is down: its event is lost."""

from __future__ import annotations

import time
from typing import Any

from stackmend.lab.breaks import Break
from stackmend.lab.breaks._scene import Scene
from stackmend.lab.plane import Plane

BREAK = Break(
    "info-cache-stale-port",
    "info-cache-stale-port",
    "service",
    "a server's port is deleted in Neutron while nova-api is down, and the event about it is lost",
)
#: seconds in which Neutron sends the event; it is not sent again
_SENT = 3.0


def make(plane: Plane) -> dict[str, Any]:
    """The server has a second NIC, which stays."""
    scene = Scene(plane, BREAK.name)
    server = scene.server([{"uuid": scene.network()}, {"uuid": scene.network(1)}])
    port = next(p.id for p in scene.cloud.network.ports(device_id=server, network_id=scene.network(1)))
    plane.stop("nova-api")
    scene.cloud.network.delete_port(port)
    time.sleep(_SENT)
    scene.revive("nova-api")
    scene.past(servers=server)
    return {"server": server, "port": str(port)}
