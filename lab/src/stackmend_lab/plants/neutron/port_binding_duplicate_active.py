# SPDX-License-Identifier: Apache-2.0
"""Ports with several active bindings (catalogue A13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import OLD, new_port, other_host


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A binding on another host was activated as well."""
    server = cloud.pick("active")
    _bound_too(cloud, server.ports[0], other_host(cloud, server))
    return {"port": server.ports[0]}


def without_levels(cloud: CloudRows) -> dict[str, Any]:
    """The second binding was inserted by SQL, without levels and without a host."""
    port = cloud.pick("active").ports[0]
    _bound_too(cloud, port, "")
    return {"port": port}


def of_a_router(cloud: CloudRows) -> dict[str, Any]:
    """The port of an L3 agent: no row says where it is plugged."""
    server = cloud.pick("active")
    values = {"device_owner": "network:floatingip_agent_gateway", "project_id": "", "status": "ACTIVE"}
    port = new_port(cloud, server, "3c1e5ab2-0000-4000-8000-000000000001", cloud.ago(OLD), str(server.host), **values)
    _bound_too(cloud, port, other_host(cloud, server))
    return {"port": port}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "without_levels": without_levels,
    "of_a_router": of_a_router,
}
NOT_REPAIRED = {"of_a_router": "is no server's"}


def _bound_too(cloud: CloudRows, port: str, host: str, status: str = "ACTIVE") -> None:
    level = cloud.rows("neutron", "SELECT level, driver, segment_id FROM ml2_port_binding_levels WHERE port_id = :p",
                       {"p": port})[0]  # fmt: skip
    kind = "ovs" if host else "unbound"
    cloud.insert(
        "neutron", "ml2_port_bindings", port_id=port, host=host, vif_type=kind, vnic_type="normal", profile="",
        vif_details="", status=status,
    )  # fmt: skip
    if host:
        cloud.insert("neutron", "ml2_port_binding_levels", port_id=port, host=host, **level)


def prepared(cloud: CloudRows) -> None:
    """The port of a share with an inactive binding on another host: Manila is moving it."""
    server = cloud.pick("active")
    values = {"device_owner": "manila:share", "status": "ACTIVE"}
    port = new_port(cloud, server, "share", cloud.ago(OLD), str(server.host), **values)
    _bound_too(cloud, port, other_host(cloud, server), "INACTIVE")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"prepared": prepared}
