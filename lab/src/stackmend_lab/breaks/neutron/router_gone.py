# SPDX-License-Identifier: Apache-2.0
"""A port is the interface of a router that is gone."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.breaks.neutron.router_port_drift import interface
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "router-gone",
    "router-port-drift",
    "sql",
    "a router is deleted by SQL; the port of its interface stays",
)


def make(plane: Plane) -> dict[str, Any]:
    """Neutron makes router and interface."""
    router, port = interface(Scene(plane, BREAK.name))
    # by a foreign key, this deletes the router and the records of its interfaces
    sql = "DELETE a FROM standardattributes a JOIN routers r ON r.standard_attr_id = a.id WHERE r.id = %s"
    plane.sql("neutron", sql, [router])
    return {"router": router, "port": port}
