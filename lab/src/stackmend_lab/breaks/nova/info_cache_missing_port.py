# SPDX-License-Identifier: Apache-2.0
"""A server's network cache loses one of its two NICs: the port that its owner created."""

from __future__ import annotations

import json
from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "info-cache-missing-port",
    "info-cache-missing-port",
    "sql",
    "the network cache of a server loses the port of its owner's, and keeps the one that Nova made",
)


def make(plane: Plane) -> dict[str, Any]:
    """As left by two concurrent updates of the cache, the later of which wrote what it had read before."""
    scene = Scene(plane, BREAK.name)
    port = scene.own_port()
    server = scene.server([{"port": port}, {"uuid": scene.network(1)}])
    statement = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = %s"
    listed = json.loads(scene.sql(scene.cell, statement, server)[0]["network_info"])
    rest = json.dumps([vif for vif in listed if vif["id"] != port])
    scene.write_cache(server, rest)
    scene.past(servers=server)
    return {"server": server, "port": port}
