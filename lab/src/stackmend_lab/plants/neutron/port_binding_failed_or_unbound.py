# SPDX-License-Identifier: Apache-2.0
"""NICs that are bound nowhere although their server has a host (catalogue A11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import OLD, attribute, changed


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The L2 agent was down when the port was bound."""
    server = cloud.pick("active")
    _unbind(cloud, server, "binding_failed", str(server.host))
    return {"server": server.uuid, "port": server.ports[0]}


def unbound(cloud: CloudRows) -> dict[str, Any]:
    """The port was unbound from its host, and the server is off."""
    server = cloud.pick("stopped")
    _unbind(cloud, server, "unbound", "")
    return {"server": server.uuid, "port": server.ports[0]}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"unbound": unbound}
NOT_REPAIRED = {"plant": "openstack port set --host", "unbound": "openstack port set --host"}


def _unbind(cloud: CloudRows, server: Server, kind: str, host: str) -> None:
    port = server.ports[0]
    cloud.delete("neutron", "ml2_port_binding_levels", {"port_id": port})
    cloud.update("neutron", "ml2_port_bindings", {"port_id": port}, vif_type=kind, vif_details="", host=host)
    cloud.update("neutron", "ports", {"id": port}, status="DOWN")
    attribute(cloud, port, updated_at=cloud.ago(OLD))


def offloaded(cloud: CloudRows) -> None:
    """A shelved server without a host: its ports are unbound."""
    cloud.pick("shelved_offloaded")


def just_bound(cloud: CloudRows) -> None:
    """The port was rebound a minute ago."""
    server = cloud.pick("active")
    _unbind(cloud, server, "unbound", str(server.host))
    attribute(cloud, server.ports[0], updated_at=cloud.ago(60))


def starting(cloud: CloudRows) -> None:
    """Nova changed the server a minute ago: it may be plugging it."""
    server = cloud.pick("active")
    _unbind(cloud, server, "binding_failed", str(server.host))
    changed(cloud, server)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "offloaded": offloaded,
    "just_bound": just_bound,
    "starting": starting,
}
