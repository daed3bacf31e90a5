# SPDX-License-Identifier: Apache-2.0
"""An address belongs to no port."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "ipallocation-invalid",
    "ipallocation-invalid",
    "sql",
    "the address of a port is parted from it by SQL, and stays when Neutron deletes the port",
)


def make(plane: Plane) -> dict[str, Any]:
    """Neutron makes and deletes the port."""
    scene = Scene(plane, BREAK.name)
    port = scene.own_port(network_id=scene.own_network()[0])
    sql = (
        "SELECT ip_address AS address, subnet_id AS subnet, network_id AS network FROM ipallocations WHERE port_id = %s"
    )
    row = scene.sql("neutron", sql, port)[0]
    scene.sql("neutron", "UPDATE ipallocations SET port_id = NULL WHERE port_id = %s", port)
    scene.cloud.network.delete_port(port)
    return dict(row)
