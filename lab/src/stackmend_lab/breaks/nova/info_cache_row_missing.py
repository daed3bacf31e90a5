# SPDX-License-Identifier: Apache-2.0
"""A server's network cache row is deleted."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "info-cache-row-missing",
    "info-cache-row-missing-or-deleted",
    "sql",
    "the network cache row of a server is deleted, as by half of a purge script",
)


def make(plane: Plane) -> dict[str, Any]:
    """The row is deleted, everything else stays."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    scene.sql(scene.cell, "DELETE FROM instance_info_caches WHERE instance_uuid = %s", server)
    scene.past(servers=server)
    return {"server": server}
