# SPDX-License-Identifier: Apache-2.0
"""A server has no allocation."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "allocation-missing",
    "allocation-missing",
    "service",
    "a cleaning script deletes a server's allocation through Placement's API",
)


def make(plane: Plane) -> dict[str, Any]:
    """The server stays as it is."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    scene.placement("DELETE", f"/allocations/{server}")
    scene.past(servers=server)
    return {"server": server}
