# SPDX-License-Identifier: Apache-2.0
"""Floating IPs and routers to break, whole as Neutron makes them."""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import OLD, free_address, ipam_of, standard


def gateway(cloud: CloudRows) -> dict[str, Any]:
    """The gateway port of the oldest router: ``device_id`` is the router, ``network_id`` the external network."""
    sql = (
        "SELECT p.id, p.device_id, p.network_id FROM ports p JOIN routers r ON r.id = p.device_id"
        " AND r.gw_port_id = p.id WHERE p.device_owner = 'network:router_gateway' ORDER BY r.standard_attr_id"
    )
    return cloud.rows("neutron", sql)[0]


def new_router(cloud: CloudRows, **values: Any) -> str:
    """A router without interfaces; its id."""
    row = {"id": str(uuid.uuid4()), "name": "edge", "status": "ACTIVE", "admin_state_up": 1, "enable_snat": 1}
    number = standard(cloud, "routers", cloud.ago(OLD))
    return str(cloud.insert("neutron", "routers", **row, standard_attr_id=number, **values))


def public_port(cloud: CloudRows, device: str, age: float = OLD) -> tuple[str, str]:
    """(id, address) of a port that holds an address of the external network for a floating IP."""
    network, port = gateway(cloud)["network_id"], str(uuid.uuid4())
    subnet = cloud.rows("neutron", "SELECT id FROM subnets WHERE network_id = :n AND ip_version = 4", {"n": network})
    address = free_address(cloud, subnet[0]["id"])
    mac = "fa:23:" + ":".join(port[n : n + 2] for n in (0, 2, 4, 6))
    cloud.insert(
        "neutron", "ports", id=port, project_id="", name="", network_id=network, mac_address=mac, admin_state_up=1,
        status="N/A", device_id=device, device_owner="network:floatingip", ip_allocation="immediate",
        standard_attr_id=standard(cloud, "ports", cloud.ago(age)),
    )  # fmt: skip
    cloud.insert(
        "neutron", "ml2_port_bindings", port_id=port, host="", vif_type="unbound", vnic_type="normal", profile="",
        vif_details="", status="ACTIVE",
    )  # fmt: skip
    fixed = {"port_id": port, "ip_address": address, "subnet_id": subnet[0]["id"], "network_id": network}
    cloud.insert("neutron", "ipallocations", **fixed)
    ipam = ipam_of(cloud, subnet[0]["id"])
    cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam, status="ALLOCATED")
    return port, address


def floating_ip(cloud: CloudRows, port: str | None = None, **values: Any) -> dict[str, Any]:
    """A floating IP of a port, or of none; its row."""
    row: dict[str, Any] = {"id": str(uuid.uuid4()), "floating_network_id": gateway(cloud)["network_id"]}
    row["floating_port_id"], row["floating_ip_address"] = public_port(cloud, row["id"])
    row |= {"project_id": "f" * 32, "status": "DOWN", "last_known_router_id": None}
    row["standard_attr_id"] = standard(cloud, "floatingips", cloud.ago(OLD))
    if port is not None:
        sql = "SELECT ip_address FROM ipallocations WHERE port_id = :p AND ip_address LIKE '%.%'"
        address = cloud.rows("neutron", sql, {"p": port})[0]["ip_address"]
        row |= {"fixed_port_id": port, "fixed_ip_address": address, "status": "ACTIVE"}
        row |= {"router_id": _router(cloud, port, row["floating_network_id"])}
    row |= values
    cloud.insert("neutron", "floatingips", **row)
    return row


def _router(cloud: CloudRows, port: str, outside: str) -> str:
    """The router between the port's network and the external one; any one with a gateway if there is none."""
    sql = (
        "SELECT g.router_id FROM routerports g JOIN ports o ON o.id = g.port_id AND o.network_id = :outside"
        " JOIN routerports i ON i.router_id = g.router_id AND i.port_type = 'network:router_interface'"
        " JOIN ports n ON n.id = i.port_id JOIN ports p ON p.network_id = n.network_id"
        " WHERE g.port_type = 'network:router_gateway' AND p.id = :port ORDER BY g.router_id"
    )
    found = cloud.rows("neutron", sql, {"outside": outside, "port": port})
    return str(found[0]["router_id"] if found else gateway(cloud)["device_id"])
