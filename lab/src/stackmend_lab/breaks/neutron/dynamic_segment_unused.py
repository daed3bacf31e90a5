# SPDX-License-Identifier: Apache-2.0
"""A network has a dynamic segment that no port uses."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "dynamic-segment-unused",
    "dynamic-segment-unused",
    "sql",
    "Neutron died while it unbound the last port below a switch: the segment stays, and its VLAN is taken",
)


def make(plane: Plane) -> dict[str, Any]:
    """The segment of a VLAN network is given to another network, whose dynamic segment it becomes."""
    scene = Scene(plane, BREAK.name)
    network, _ = scene.own_network()
    where = {"provider_network_type": "vlan", "provider_physical_network": "physnet1"}
    other = scene.cloud.network.create_network(name=scene.name(), **where)
    sql = "SELECT id AS segment, standard_attr_id AS attribute FROM networksegments WHERE network_id = %s"
    row = scene.sql("neutron", sql, other.id)[0]
    moved = "UPDATE networksegments SET network_id = %s, is_dynamic = 1, segment_index = 1 WHERE id = %s"
    scene.sql("neutron", moved, network, row["segment"])
    scene.cloud.network.delete_network(other)
    taken = "UPDATE ml2_vlan_allocations SET allocated = 1 WHERE physical_network = 'physnet1' AND vlan_id = %s"
    scene.sql("neutron", taken, other.provider_segmentation_id)
    old = "updated_at = updated_at - INTERVAL 3 HOUR, created_at = created_at - INTERVAL 3 HOUR"
    scene.sql("neutron", f"UPDATE standardattributes SET {old} WHERE id = %s", row["attribute"])
    vlan = {"network_type": "vlan", "physical_network": "physnet1", "number": other.provider_segmentation_id}
    return {"segment": row["segment"], "network": network, **vlan}
