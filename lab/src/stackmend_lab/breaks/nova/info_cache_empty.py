# SPDX-License-Identifier: Apache-2.0
"""The network cache of a server is emptied; the server has a port that its owner created, and one that Nova created."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "info-cache-empty",
    "info-cache-empty",
    "sql",
    "the network cache of a server with a port of its owner's and one of Nova's becomes []",
)


def make(plane: Plane) -> dict[str, Any]:
    """As left by a refresh while Neutron failed."""
    scene = Scene(plane, BREAK.name)
    server = scene.server([{"port": scene.own_port()}, {"uuid": scene.network(1)}])
    scene.write_cache(server, "[]")
    scene.past(servers=server)
    return {"server": server}
