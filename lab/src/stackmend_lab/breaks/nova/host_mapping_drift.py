# SPDX-License-Identifier: Apache-2.0
"""Nova's API database does not know in which cell a host is."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "host-mapping-drift",
    "host-mapping-drift",
    "sql",
    "the mapping of a host is deleted; its compute node still says that it is mapped (bug 2085135)",
)


def make(plane: Plane) -> dict[str, Any]:
    """The last host of the lab, in the last cell: nothing is built on it unless asked for."""
    scene = Scene(plane, BREAK.name)
    host, cell = list(plane.layout.hosts.items())[-1]
    scene.sql("nova_api", "DELETE FROM host_mappings WHERE host = %s", host)
    old = "created_at = created_at - INTERVAL 3 HOUR"
    scene.sql(f"cell:{cell}", f"UPDATE services SET {old} WHERE host = %s AND `binary` = 'nova-compute'", host)
    return {"host": host}
