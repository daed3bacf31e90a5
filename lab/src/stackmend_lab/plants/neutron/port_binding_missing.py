# SPDX-License-Identifier: Apache-2.0
"""Ports without an active binding (catalogue A14)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._floating import new_router
from stackmend_lab.plants._networks import OLD, new_port, other_host, vifs, write


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Every binding of a server's port was deleted by SQL."""
    port = cloud.pick("active").ports[0]
    _unbind(cloud, port)
    return {"port": port}


def only_inactive(cloud: CloudRows) -> dict[str, Any]:
    """The rollback of a live migration deleted the binding that had been activated."""
    port = cloud.pick("active").ports[0]
    cloud.update("neutron", "ml2_port_bindings", {"port_id": port}, status="INACTIVE")
    return {"port": port}


def inactive_elsewhere(cloud: CloudRows) -> dict[str, Any]:
    """The only binding left is the one on the target, where the server never arrived."""
    server = cloud.pick("active")
    where = {"port_id": server.ports[0]}
    cloud.update("neutron", "ml2_port_bindings", where, status="INACTIVE", host=other_host(cloud, server))
    cloud.update("neutron", "ml2_port_binding_levels", where, host=other_host(cloud, server))
    return {"port": server.ports[0]}


def of_nobody(cloud: CloudRows) -> dict[str, Any]:
    """A free port, kept by its owner."""
    port = new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="")
    _unbind(cloud, port)
    return {"port": port}


def passed_through(cloud: CloudRows) -> dict[str, Any]:
    """The port was that of a passed-through device, as the server's cache still shows."""
    server = cloud.pick("active")
    port = server.ports[0]
    _unbind(cloud, port)
    write(cloud, server, json.dumps([{**vif, "vnic_type": "direct"} for vif in vifs(cloud, server)]))
    return {"port": port}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "only_inactive": only_inactive,
    "inactive_elsewhere": inactive_elsewhere,
    "of_nobody": of_nobody,
    "passed_through": passed_through,
}
NOT_REPAIRED = {"passed_through": "is direct"}


def _unbind(cloud: CloudRows, port: str) -> None:
    for table in ("ml2_port_binding_levels", "ml2_port_bindings"):
        cloud.delete("neutron", table, {"port_id": port})


def distributed(cloud: CloudRows) -> None:
    """The interface of a distributed router: its bindings, one for each host, are in a table of their own."""
    server, router, owner = cloud.pick("active"), new_router(cloud), "network:router_interface_distributed"
    port = new_port(cloud, server, router, cloud.ago(OLD), device_owner=owner, status="ACTIVE")
    cloud.insert("neutron", "routerports", router_id=router, port_id=port, port_type=owner)
    _unbind(cloud, port)
    cloud.insert(
        "neutron", "ml2_distributed_port_bindings", port_id=port, host=server.host, router_id=router,
        vif_type="distributed", vif_details="", vnic_type="normal", profile="", status="ACTIVE",
    )  # fmt: skip


def being_made(cloud: CloudRows) -> None:
    """A port that was created a minute ago."""
    port = new_port(cloud, cloud.pick("active"), "", cloud.ago(60), device_owner="")
    _unbind(cloud, port)


def unbound(cloud: CloudRows) -> None:
    """A port that is not bound anywhere, as its active binding says."""
    new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "distributed": distributed,
    "being_made": being_made,
    "unbound": unbound,
}
