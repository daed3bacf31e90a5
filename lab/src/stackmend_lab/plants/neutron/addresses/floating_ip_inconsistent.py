# SPDX-License-Identifier: Apache-2.0
"""Floating IPs whose parts disagree (catalogue I1)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._floating import floating_ip, gateway, new_router
from stackmend_lab.plants._networks import OLD, free_address, new_network, new_port, standard


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The address of the port was changed by SQL: the floating IP leads to the old one."""
    port = _port(cloud)
    found = floating_ip(cloud, port)
    sql = "SELECT subnet_id FROM ipallocations WHERE port_id = :p"
    address = free_address(cloud, cloud.rows("neutron", sql, {"p": port})[0]["subnet_id"])
    cloud.update("neutron", "floatingips", {"id": found["id"]}, fixed_ip_address=address)
    return {"floating_ip": found["id"], "code": "fixed-address"}


def no_router(cloud: CloudRows) -> dict[str, Any]:
    """Neutron died in the middle of an association: the floating IP names no router."""
    found = floating_ip(cloud, _port(cloud), router_id=None)
    return {"floating_ip": found["id"], "code": "router"}


def other_router(cloud: CloudRows) -> dict[str, Any]:
    """The floating IP names a router that has no port in either network."""
    found = floating_ip(cloud, _port(cloud), router_id=new_router(cloud))
    return {"floating_ip": found["id"], "code": "router"}


def active_without_port(cloud: CloudRows) -> dict[str, Any]:
    """The floating IP was disassociated from its port while no agent could report it."""
    found = floating_ip(cloud, status="ACTIVE")
    return {"floating_ip": found["id"], "code": "status"}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "no_router": no_router,
    "other_router": other_router,
    "active_without_port": active_without_port,
}


def _port(cloud: CloudRows) -> str:
    """A port in a network that a router connects to the external one."""
    return new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="")


def forwarding(cloud: CloudRows) -> None:
    """A floating IP with a port forwarding: it names a router and no port."""
    port = _port(cloud)
    found = floating_ip(cloud, status="ACTIVE", router_id=gateway(cloud)["device_id"])
    sql = "SELECT ip_address FROM ipallocations WHERE port_id = :p AND ip_address LIKE '%.%'"
    address = cloud.rows("neutron", sql, {"p": port})[0]["ip_address"]
    ports = {"internal_ip_address": address, "internal_port_start": 22, "internal_port_end": 22,
             "external_port_start": 2022, "external_port_end": 2022}  # fmt: skip
    if not cloud.has("neutron", "portforwardings", *ports):
        ports = {"external_port": 2022, "socket": f"{address}:22"}
    cloud.insert(
        "neutron", "portforwardings", id=str(uuid.uuid4()), floatingip_id=found["id"], protocol="tcp",
        internal_neutron_port_id=port, standard_attr_id=standard(cloud, "portforwardings", cloud.ago(OLD)), **ports,
    )  # fmt: skip


def agent_down(cloud: CloudRows) -> None:
    """Everything fits, but the L3 agent has not activated the floating IP."""
    floating_ip(cloud, _port(cloud), status="DOWN")


def just_taken_off(cloud: CloudRows) -> None:
    """The floating IP was disassociated from its port a moment ago."""
    found = floating_ip(cloud, status="ACTIVE")
    cloud.update("neutron", "standardattributes", {"id": found["standard_attr_id"]}, updated_at=cloud.ago(60))


def highly_available(cloud: CloudRows) -> None:
    """The router is highly available: the port of its interface is of another kind."""
    server, (network, _) = cloud.pick("active"), new_network(cloud)
    port = new_port(cloud, server, "", cloud.ago(OLD), device_owner="", network_id=network)
    router, owner = new_router(cloud), "network:ha_router_replicated_interface"
    out = new_port(cloud, server, router, cloud.ago(OLD), device_owner="network:router_gateway",
                   network_id=gateway(cloud)["network_id"])  # fmt: skip
    cloud.update("neutron", "routers", {"id": router}, gw_port_id=out)
    inside = new_port(cloud, server, router, cloud.ago(OLD), device_owner=owner, network_id=network)
    for one, kind in ((out, "network:router_gateway"), (inside, owner)):
        cloud.insert("neutron", "routerports", router_id=router, port_id=one, port_type=kind)
    floating_ip(cloud, port, router_id=router)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "forwarding": forwarding,
    "agent_down": agent_down,
    "just_taken_off": just_taken_off,
    "highly_available": highly_available,
}
