# SPDX-License-Identifier: Apache-2.0
"""Segmentation ids whose marks disagree with the networks (catalogue I10)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import OLD, standard


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A network was deleted by SQL: its VLAN is still marked as used."""
    number = _vlan(cloud, allocated=1)
    return _key(number)


def tunnel(cloud: CloudRows) -> dict[str, Any]:
    """A network was deleted by SQL: its VXLAN id is still marked as used."""
    sql = "SELECT vxlan_vni FROM ml2_vxlan_allocations WHERE allocated = 0 ORDER BY vxlan_vni DESC"
    number = cloud.rows("neutron", sql)[0]["vxlan_vni"]
    cloud.update("neutron", "ml2_vxlan_allocations", {"vxlan_vni": number}, allocated=1)
    return {"network_type": "vxlan", "physical_network": "", "number": number}


def marked_free(cloud: CloudRows) -> dict[str, Any]:
    """The VLAN of a network was marked as free by SQL."""
    number = _vlan(cloud, allocated=0)
    _network(cloud, number)
    return _key(number)


def shared(cloud: CloudRows) -> dict[str, Any]:
    """Two networks have the same VLAN."""
    number = _vlan(cloud, allocated=1)
    _network(cloud, number)
    _network(cloud, number)
    return _key(number)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "tunnel": tunnel,
    "marked_free": marked_free,
    "shared": shared,
}
NOT_REPAIRED = {"shared": "move its ports to a new network"}


def _key(number: int) -> dict[str, Any]:
    return {"network_type": "vlan", "physical_network": "physnet1", "number": number}


def _vlan(cloud: CloudRows, *, allocated: int) -> int:
    """A VLAN in the range that no network has, and whose mark is unchanged."""
    sql = (
        "SELECT a.vlan_id FROM ml2_vlan_allocations a LEFT JOIN networksegments s ON s.segmentation_id = a.vlan_id"
        " AND s.physical_network = a.physical_network WHERE a.physical_network = 'physnet1' AND a.allocated = 0"
        " AND s.id IS NULL ORDER BY a.vlan_id"
    )
    number = int(cloud.rows("neutron", sql)[0]["vlan_id"])
    where = {"physical_network": "physnet1", "vlan_id": number}
    cloud.update("neutron", "ml2_vlan_allocations", where, allocated=allocated)
    return number


def _network(cloud: CloudRows, number: int, physical: str = "physnet1") -> None:
    """Create a network with that VLAN."""
    network = str(uuid.uuid4())
    attribute = standard(cloud, "networks", cloud.ago(OLD))
    values = {"name": "vlan", "status": "ACTIVE", "admin_state_up": 1, "mtu": 1500, "standard_attr_id": attribute}
    cloud.insert("neutron", "networks", id=network, **values)
    attribute = standard(cloud, "networksegments", cloud.ago(OLD))
    values = {"network_type": "vlan", "physical_network": physical, "segmentation_id": number, "segment_index": 0}
    cloud.insert(
        "neutron", "networksegments", id=str(uuid.uuid4()), network_id=network, is_dynamic=0,
        standard_attr_id=attribute, **values,
    )  # fmt: skip


def outside_the_range(cloud: CloudRows) -> None:
    """A provider network with a VLAN that the type driver does not manage: it has no mark."""
    _network(cloud, 3999)


def two_fabrics(cloud: CloudRows) -> None:
    """The same VLAN on two physical networks."""
    number = _vlan(cloud, allocated=1)
    _network(cloud, number)
    _network(cloud, number, "physnet2")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "outside_the_range": outside_the_range,
    "two_fabrics": two_fabrics,
}
