# SPDX-License-Identifier: Apache-2.0
"""An address stays taken in Neutron's IPAM although no port has it."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "ipam-drift",
    "ipam-drift",
    "sql",
    "a port is deleted by SQL; Neutron's IPAM still has its address as taken",
)


def make(plane: Plane) -> dict[str, Any]:
    """Neutron makes the port."""
    scene = Scene(plane, BREAK.name)
    port = scene.own_port(network_id=scene.own_network()[0])
    sql = (
        "SELECT f.ip_address AS address, s.id AS ipam_subnet FROM ipallocations f"
        " JOIN ipamsubnets s ON s.neutron_subnet_id = f.subnet_id WHERE f.port_id = %s"
    )
    row = scene.sql("neutron", sql, port)[0]
    # by foreign keys, this deletes the port and all that belongs to it; IPAM has none
    sql = "DELETE a FROM standardattributes a JOIN ports p ON p.standard_attr_id = a.id WHERE p.id = %s"
    scene.sql("neutron", sql, port)
    return dict(row)
