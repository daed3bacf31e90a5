# SPDX-License-Identifier: Apache-2.0
"""Routers and ports that disagree (catalogue I3)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._floating import new_router
from stackmend_lab.plants._networks import OLD, new_port

_INTERFACE = "network:router_interface"


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Adding an interface was interrupted: the port exists, but the router has no record of it."""
    router = new_router(cloud)
    return {"router": router, "port": _port(cloud, router)}


def wrong_kind(cloud: CloudRows) -> dict[str, Any]:
    """The router was made distributed by SQL, but only in its ports."""
    router = new_router(cloud)
    port = _port(cloud, router, device_owner="network:router_centralized_snat")
    cloud.insert("neutron", "routerports", router_id=router, port_id=port, port_type=_INTERFACE)
    return {"router": router, "port": port}


def other_router(cloud: CloudRows) -> dict[str, Any]:
    """The port names one router, and the record of it names another."""
    router = new_router(cloud)
    port = _port(cloud, router)
    cloud.insert("neutron", "routerports", router_id=new_router(cloud), port_id=port, port_type=_INTERFACE)
    return {"router": router, "port": port}


def router_gone(cloud: CloudRows) -> dict[str, Any]:
    """The router was deleted by SQL: its interface is left."""
    router = str(uuid.uuid4())
    return {"router": router, "port": _port(cloud, router)}


def gateway(cloud: CloudRows) -> dict[str, Any]:
    """The router's gateway is a port that something else has taken over."""
    port = _port(cloud, "", device_owner="")
    return {"router": new_router(cloud, gw_port_id=port), "port": port}


def second_gateway(cloud: CloudRows) -> dict[str, Any]:
    """A gateway was replaced, and the old port was not deleted."""
    router = new_router(cloud)
    return {"router": router, "port": _port(cloud, router, device_owner="network:router_gateway")}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "wrong_kind": wrong_kind,
    "other_router": other_router,
    "router_gone": router_gone,
    "gateway": gateway,
    "second_gateway": second_gateway,
}
MENDED_BY = {"router_gone": "delete-router-port"}
NOT_REPAIRED = {
    "other_router": "openstack router remove port",
    "gateway": "openstack router set --external-gateway",
    "second_gateway": "whose gateway is none",
}


def _port(cloud: CloudRows, router: str, age: int = OLD, **values: Any) -> str:
    server = cloud.pick("active")
    return new_port(cloud, server, router, cloud.ago(age), **{"device_owner": _INTERFACE, "status": "ACTIVE", **values})


def being_added(cloud: CloudRows) -> None:
    """An interface is being added: its port was created a minute ago."""
    _port(cloud, new_router(cloud), age=60)


def highly_available(cloud: CloudRows) -> None:
    """The port over which the instances of a highly available router watch each other."""
    router, owner = new_router(cloud), "network:router_ha_interface"
    port = _port(cloud, router, device_owner=owner)
    cloud.insert("neutron", "routerports", router_id=router, port_id=port, port_type=owner)


def _recorded(cloud: CloudRows, owner: str) -> None:
    router = new_router(cloud)
    port = _port(cloud, router, device_owner=owner)
    cloud.insert("neutron", "routerports", router_id=router, port_id=port, port_type=owner)


def replicated(cloud: CloudRows) -> None:
    """The interface of a router that is highly available and distributed: one port for all its instances."""
    _recorded(cloud, "network:ha_router_replicated_interface")


def centralized_snat(cloud: CloudRows) -> None:
    """The port over which a distributed router translates addresses on one network node."""
    _recorded(cloud, "network:router_centralized_snat")


def agent_gateway(cloud: CloudRows) -> None:
    """A distributed router's gateway for floating IPs on one host: its device is the L3 agent there, not a router."""
    server, owner = cloud.pick("active"), "network:floatingip_agent_gateway"
    new_port(cloud, server, str(uuid.uuid4()), cloud.ago(OLD), str(server.host), device_owner=owner, status="ACTIVE")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "being_added": being_added,
    "highly_available": highly_available,
    "replicated": replicated,
    "centralized_snat": centralized_snat,
    "agent_gateway": agent_gateway,
}
