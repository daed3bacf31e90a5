# SPDX-License-Identifier: Apache-2.0
"""Addresses that belong to no port, or do not fit (catalogue I6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import OLD, free_address, give_address, ipam_of, new_port, port_of


def plant(cloud: CloudRows) -> dict[str, Any]:
    """An old release kept the address of a port that was deleted."""
    fixed = _fixed(cloud, cloud.pick("active").ports[0])
    address = free_address(cloud, fixed["subnet_id"])
    cloud.insert("neutron", "ipallocations", port_id=None, **{**fixed, "ip_address": address})
    ipam = ipam_of(cloud, fixed["subnet_id"])
    cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam, status="ALLOCATED")
    return {"subnet": fixed["subnet_id"], "address": address, "network": fixed["network_id"]}


def wrong_network(cloud: CloudRows) -> dict[str, Any]:
    """The row of a port's address was moved to another network by SQL."""
    server = cloud.pick("active")
    fixed, other = _fixed(cloud, server.ports[0]), _foreign(cloud, server.ports[0])
    cloud.update("neutron", "ipallocations", fixed, network_id=other["network_id"])
    return {"subnet": fixed["subnet_id"], "address": fixed["ip_address"], "network": other["network_id"]}


def foreign_subnet(cloud: CloudRows) -> dict[str, Any]:
    """A port got an address of another network's subnet by SQL."""
    port = new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="")
    other = _foreign(cloud, port)
    address, network = free_address(cloud, other["id"]), port_of(cloud, port)["network_id"]
    cloud.insert(
        "neutron", "ipallocations", port_id=port, ip_address=address, subnet_id=other["id"], network_id=network
    )
    ipam = ipam_of(cloud, other["id"])
    cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam, status="ALLOCATED")
    return {"subnet": other["id"], "address": address, "network": network}


def outside(cloud: CloudRows) -> dict[str, Any]:
    """The address of a port was changed by SQL to one outside its subnet."""
    port = new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="")
    fixed = _fixed(cloud, port)
    address = f"172.31.{int(port[0:2], 16)}.{int(port[2:4], 16)}"
    give_address(cloud, port, address)
    return {"subnet": fixed["subnet_id"], "address": address, "network": fixed["network_id"]}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "wrong_network": wrong_network,
    "foreign_subnet": foreign_subnet,
    "outside": outside,
}
NOT_REPAIRED = {"foreign_subnet": "openstack port set --fixed-ip", "outside": "openstack port set --fixed-ip"}


def _fixed(cloud: CloudRows, port: str) -> dict[str, Any]:
    sql = "SELECT ip_address, subnet_id, network_id FROM ipallocations WHERE port_id = :p ORDER BY ip_address"
    return cloud.rows("neutron", sql, {"p": port})[0]


def _foreign(cloud: CloudRows, port: str) -> dict[str, Any]:
    """An IPv4 subnet of another network."""
    sql = "SELECT id, network_id FROM subnets WHERE network_id <> :n AND ip_version = 4 ORDER BY id"
    return cloud.rows("neutron", sql, {"n": port_of(cloud, port)["network_id"]})[0]


def last_of_its_subnet(cloud: CloudRows) -> None:
    """A port has the last usable address of its subnet, by request."""
    port = new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="")
    sql = "SELECT cidr FROM subnets WHERE id = :s"
    cidr = cloud.rows("neutron", sql, {"s": _fixed(cloud, port)["subnet_id"]})[0]["cidr"]
    give_address(cloud, port, f"{cidr.rsplit('.', 2)[0]}.255.254")


def two_versions(cloud: CloudRows) -> None:
    """A port has an IPv4 and an IPv6 address, each from a subnet of its own."""
    while True:
        rows = cloud.rows(
            "neutron", "SELECT port_id FROM ipallocations WHERE port_id = :p", {"p": cloud.pick("active").ports[0]}
        )
        if len(rows) == 2:
            return


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "last_of_its_subnet": last_of_its_subnet,
    "two_versions": two_versions,
}
