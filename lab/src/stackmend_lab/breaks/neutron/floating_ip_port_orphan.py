# SPDX-License-Identifier: Apache-2.0
"""A port holds a public address for a floating IP that is gone."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "floating-ip-port-orphan",
    "floating-ip-port-orphan",
    "sql",
    "a floating IP is deleted by SQL; the port with its address stays",
)


def make(plane: Plane) -> dict[str, Any]:
    """The network is one of its own, so that addresses of a pool with others are not taken."""
    scene = Scene(plane, BREAK.name)
    public, _ = scene.own_network(is_router_external=True)
    made = scene.cloud.network.create_ip(floating_network_id=public)
    sql = "SELECT floating_port_id AS port, standard_attr_id AS attribute FROM floatingips WHERE id = %s"
    row = scene.sql("neutron", sql, made.id)[0]
    # by a foreign key, this deletes the floating IP
    scene.sql("neutron", "DELETE FROM standardattributes WHERE id = %s", row["attribute"])
    scene.past(ports=row["port"])
    return {"port": row["port"]}
