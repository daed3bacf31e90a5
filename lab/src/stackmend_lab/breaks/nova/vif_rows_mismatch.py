# SPDX-License-Identifier: Apache-2.0
"""A NIC has no row in virtual_interfaces."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "vif-rows-mismatch",
    "vif-rows-mismatch",
    "sql",
    "the virtual_interfaces row of a server's NIC is deleted",
)


def make(plane: Plane) -> dict[str, Any]:
    """The row is deleted, cache and port stay."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    scene.sql(scene.cell, "DELETE FROM virtual_interfaces WHERE instance_uuid = %s", server)
    scene.past(servers=server)
    return {"server": server}
