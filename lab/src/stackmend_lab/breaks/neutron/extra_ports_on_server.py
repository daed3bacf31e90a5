# SPDX-License-Identifier: Apache-2.0
"""A server has a port that Nova does not know."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "extra-ports-on-server",
    "extra-ports-on-server",
    "service",
    "a port is made for a server on another host, as by a build there whose clean-up was lost",
)


def make(plane: Plane) -> dict[str, Any]:
    """The same call to Neutron as Nova's, without the rest of the build."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    late = {"name": "", "device_id": server, "device_owner": "compute:nova"}
    port = scene.own_port(**late, binding_host_id=scene.other_host())
    scene.past(servers=server)
    return {"server": server, "port": port}
