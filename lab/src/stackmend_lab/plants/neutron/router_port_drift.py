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


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "wrong_kind": wrong_kind,
    "other_router": other_router,
    "router_gone": router_gone,
    "gateway": gateway,
}
NOT_REPAIRED = {"other_router": "openstack router remove port", "gateway": "openstack router set --external-gateway"}


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


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "being_added": being_added,
    "highly_available": highly_available,
}
