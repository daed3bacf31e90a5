# SPDX-License-Identifier: Apache-2.0
"""Dynamic segments that no port uses (reported by operators)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import OLD, new_network, new_port, standard


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Neutron died while it unbound the last port below a switch: the VLAN is still taken."""
    sql = (
        "SELECT a.physical_network, a.vlan_id FROM ml2_vlan_allocations a LEFT JOIN networksegments s"
        " ON s.segmentation_id = a.vlan_id AND s.network_type = 'vlan' WHERE a.allocated = 0 AND s.id IS NULL"
        " ORDER BY a.vlan_id DESC LIMIT 1"
    )
    free = cloud.rows("neutron", sql)[0]
    cloud.update("neutron", "ml2_vlan_allocations", free, allocated=1)
    return {"segment": _segment(cloud, "vlan", free["physical_network"], free["vlan_id"])}


def not_marked(cloud: CloudRows) -> dict[str, Any]:
    """The id is not one that its type driver gives out: there is nothing to mark."""
    return {"segment": _segment(cloud, "vlan", "physnet-gone", 7)}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"not_marked": not_marked}


def _segment(
    cloud: CloudRows, kind: str, physical: str, number: int, *, dynamic: bool = True, age: int = OLD, network: str = ""
) -> str:
    """A further segment of a network, of its own unless one is given."""
    segment, network = str(uuid.uuid4()), network or new_network(cloud)[0]
    there = cloud.rows("neutron", "SELECT id FROM networksegments WHERE network_id = :n", {"n": network})
    cloud.insert(
        "neutron", "networksegments", id=segment, network_id=network, network_type=kind, physical_network=physical,
        segmentation_id=number, is_dynamic=int(dynamic), segment_index=len(there),
        standard_attr_id=standard(cloud, "networksegments", cloud.ago(age)),
    )  # fmt: skip
    return segment


def in_use(cloud: CloudRows) -> None:
    """A port is bound by two levels: its network's segment, and the dynamic one below the switch."""
    server = cloud.pick("active")
    own = {"network_id": new_network(cloud)[0], "device_owner": "network:distributed"}
    port = new_port(cloud, server, "", cloud.ago(OLD), str(server.host), **own)
    segment = _segment(cloud, "vlan", "physnet-a", 11, network=own["network_id"])
    level = {"port_id": port, "host": server.host, "level": 1, "driver": "openvswitch", "segment_id": segment}
    cloud.insert("neutron", "ml2_port_binding_levels", **level)


def provided(cloud: CloudRows) -> None:
    """A segment that an administrator made, and that no port is bound to yet."""
    _segment(cloud, "vlan", "physnet-b", 12, dynamic=False)


def just_made(cloud: CloudRows) -> None:
    """The first port is being bound: its level is written next."""
    _segment(cloud, "vlan", "physnet-c", 13, age=60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "in_use": in_use,
    "provided": provided,
    "just_made": just_made,
}
