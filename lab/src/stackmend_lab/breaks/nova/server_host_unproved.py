# SPDX-License-Identifier: Apache-2.0
"""Every record of a server is moved to another host by hand."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "server-host-unproved",
    "server-host-unproved",
    "sql",
    "host, port and capacity of a server are set to another host, and its guest stays where it is",
)


def make(plane: Plane) -> dict[str, Any]:
    """Only its launch record, its actions and its hypervisor show where the guest is."""
    scene = Scene(plane, BREAK.name)
    server, other = scene.server(), scene.other_host()
    (node,) = scene.sql(scene.cell, "SELECT id, uuid FROM compute_nodes WHERE host = %s AND deleted = 0", other)
    statement = "UPDATE instances SET host = %s, node = %s, compute_id = %s WHERE uuid = %s"
    scene.sql(scene.cell, statement, other, other, node["id"], server)
    for port in scene.ports(server):
        scene.cloud.network.update_port(port, binding_host_id=other)
    moved = "UPDATE allocations a, resource_providers r SET a.resource_provider_id = r.id"
    scene.sql("placement", f"{moved} WHERE r.uuid = %s AND a.consumer_id = %s", node["uuid"], server)
    scene.past(servers=server)
    return {"server": server}
