# SPDX-License-Identifier: Apache-2.0
"""A router has no record of a port that says it is the router's."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "router-port-drift",
    "router-port-drift",
    "sql",
    "the record of a router's interface is deleted by SQL; its port stays",
)


def make(plane: Plane) -> dict[str, Any]:
    """Neutron makes router and interface."""
    router, port = interface(Scene(plane, BREAK.name))
    plane.sql("neutron", "DELETE FROM routerports WHERE port_id = %s", [port])
    return {"router": router, "port": port}


def interface(scene: Scene) -> tuple[str, str]:
    """Create a router with an interface, and let three hours pass; returns the ids of the router and of its port."""
    _, subnet = scene.own_network()
    router = scene.cloud.network.create_router(name=scene.name())
    added = scene.cloud.network.add_interface_to_router(router, subnet=subnet)
    scene.past(ports=added["port_id"])
    return str(router.id), str(added["port_id"])
