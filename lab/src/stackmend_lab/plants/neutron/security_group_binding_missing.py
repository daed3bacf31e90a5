# SPDX-License-Identifier: Apache-2.0
"""NICs with port security but without a security group (catalogue I7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import attribute


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The port's security group bindings were lost in a restore."""
    server = cloud.pick("active")
    cloud.delete("neutron", "securitygroupportbindings", {"port_id": server.ports[0]})
    return {"server": server.uuid, "port": server.ports[0]}


def one_of_three(cloud: CloudRows) -> dict[str, Any]:
    """The server's other ports still have theirs."""
    server = cloud.pick("multi_nic")
    cloud.delete("neutron", "securitygroupportbindings", {"port_id": server.ports[1]})
    return {"server": server.uuid, "port": server.ports[1]}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"one_of_three": one_of_three}
NOT_REPAIRED = {
    "plant": "openstack port set --security-group",
    "one_of_three": "openstack port set --security-group",
}


def unsecured(cloud: CloudRows) -> None:
    """Port security is disabled: such a port has no groups."""
    port = cloud.pick("active").ports[0]
    cloud.delete("neutron", "securitygroupportbindings", {"port_id": port})
    cloud.update("neutron", "portsecuritybindings", {"port_id": port}, port_security_enabled=0)


def older(cloud: CloudRows) -> None:
    """The port is older than the port security extension, and has no row for it."""
    port = cloud.pick("active").ports[0]
    cloud.delete("neutron", "securitygroupportbindings", {"port_id": port})
    cloud.delete("neutron", "portsecuritybindings", {"port_id": port})


def being_changed(cloud: CloudRows) -> None:
    """The owner removed the last group a minute ago."""
    port = cloud.pick("active").ports[0]
    cloud.delete("neutron", "securitygroupportbindings", {"port_id": port})
    attribute(cloud, port, updated_at=cloud.ago(60))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "unsecured": unsecured,
    "older": older,
    "being_changed": being_changed,
}
