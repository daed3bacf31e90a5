# SPDX-License-Identifier: Apache-2.0
"""A server is moved by SQL with a typing error in the node."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "server-on-nonexistent-host",
    "server-on-nonexistent-host",
    "sql",
    "a server's node is set to one that does not exist (a typing error)",
)


def make(plane: Plane) -> dict[str, Any]:
    """The host is right, the node does not exist."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    scene.sql(scene.cell, "UPDATE instances SET node = CONCAT(node, '.example') WHERE uuid = %s", server)
    scene.past(servers=server)
    return {"server": server}
