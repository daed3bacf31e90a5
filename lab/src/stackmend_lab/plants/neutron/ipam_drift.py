# SPDX-License-Identifier: Apache-2.0
"""Addresses on which Neutron's two records disagree (catalogue I5)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import OLD, drop_port, free_address, ipam_of, new_port


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A port was deleted by SQL: its address was not released."""
    server = cloud.pick("active")
    fixed = _fixed(cloud, new_port(cloud, server, "", cloud.ago(OLD), device_owner=""))
    ipam = ipam_of(cloud, fixed["subnet_id"])
    drop_port(cloud, fixed["port_id"])
    cloud.insert("neutron", "ipamallocations", ip_address=fixed["ip_address"], ipam_subnet_id=ipam, status="ALLOCATED")
    return {"ipam_subnet": ipam, "address": fixed["ip_address"]}


def missing(cloud: CloudRows) -> dict[str, Any]:
    """The address of a server's port is also offered to others."""
    fixed = _fixed(cloud, cloud.pick("active").ports[0])
    ipam = ipam_of(cloud, fixed["subnet_id"])
    cloud.delete("neutron", "ipamallocations", {"ip_address": fixed["ip_address"], "ipam_subnet_id": ipam})
    return {"ipam_subnet": ipam, "address": fixed["ip_address"]}


def subnet_gone(cloud: CloudRows) -> dict[str, Any]:
    """A subnet was deleted by SQL: its addresses and pools are still there."""
    ipam = str(uuid.uuid4())
    cloud.insert("neutron", "ipamsubnets", id=ipam, neutron_subnet_id=str(uuid.uuid4()))
    pool = {"id": str(uuid.uuid4()), "first_ip": "10.88.0.2", "last_ip": "10.88.255.254"}
    cloud.insert("neutron", "ipamallocationpools", ipam_subnet_id=ipam, **pool)
    for address in ("10.88.0.1", "10.88.0.2"):
        cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam, status="ALLOCATED")
    return {"ipam_subnet": ipam, "address": ""}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"missing": missing, "subnet_gone": subnet_gone}


def _fixed(cloud: CloudRows, port: str) -> dict[str, Any]:
    sql = "SELECT port_id, ip_address, subnet_id FROM ipallocations WHERE port_id = :p ORDER BY ip_address"
    return cloud.rows("neutron", sql, {"p": port})[0]


def empty_subnet(cloud: CloudRows) -> None:
    """A subnet in which nobody has an address yet."""
    network = cloud.rows("neutron", "SELECT network_id FROM ports WHERE id = :p", {"p": cloud.pick("active").ports[0]})
    number = cloud.insert(
        "neutron", "standardattributes", resource_type="subnets", revision_number=0, created_at=cloud.ago(OLD),
        updated_at=cloud.ago(OLD), description="",
    )  # fmt: skip
    subnet = str(uuid.uuid4())
    cloud.insert(
        "neutron", "subnets", id=subnet, network_id=network[0]["network_id"], name="", ip_version=4,
        cidr="10.251.0.0/24", gateway_ip="10.251.0.1", enable_dhcp=0, standard_attr_id=number,
    )  # fmt: skip
    cloud.insert("neutron", "ipamsubnets", id=str(uuid.uuid4()), neutron_subnet_id=subnet)


def several_addresses(cloud: CloudRows) -> None:
    """A port with two addresses from one subnet, both of them marked as taken."""
    port = new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="")
    fixed = cloud.rows("neutron", "SELECT subnet_id, network_id FROM ipallocations WHERE port_id = :p", {"p": port})[0]
    address = free_address(cloud, fixed["subnet_id"])
    cloud.insert("neutron", "ipallocations", port_id=port, ip_address=address, **fixed)
    ipam = ipam_of(cloud, fixed["subnet_id"])
    cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam, status="ALLOCATED")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "empty_subnet": empty_subnet,
    "several_addresses": several_addresses,
}
