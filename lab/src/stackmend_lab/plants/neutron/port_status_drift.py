# SPDX-License-Identifier: Apache-2.0
"""Ports whose status is not that of the NIC (catalogue I12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import OLD, attribute, busy, changed, port_of


def _is(cloud: CloudRows, server: Server, status: str, *entities: str) -> dict[str, Any]:
    """Let the server's first port have this status since long ago, and wait for these."""
    port = server.ports[0]
    cloud.update("neutron", "ports", {"id": port}, status=status)
    attribute(cloud, port, updated_at=cloud.ago(OLD))
    for entity in entities:
        number = port_of(cloud, port)["standard_attr_id"]
        cloud.insert("neutron", "provisioningblocks", standard_attr_id=number, entity=entity)
    return {"server": server.uuid, "port": port}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The DHCP agent was down when the server was built: its port never became ACTIVE."""
    return _is(cloud, cloud.pick("active"), "DOWN", "DHCP")


def both(cloud: CloudRows) -> dict[str, Any]:
    """Neither of the agents has reported the port."""
    return _is(cloud, cloud.pick("active"), "BUILD", "L2", "DHCP")


def lost(cloud: CloudRows) -> dict[str, Any]:
    """The message that the port is up again was lost."""
    return _is(cloud, cloud.pick("active"), "DOWN")


def active_nowhere(cloud: CloudRows) -> dict[str, Any]:
    """A shelved server's port was made ACTIVE by SQL."""
    return _is(cloud, cloud.pick("shelved_offloaded"), "ACTIVE")


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "both": both,
    "lost": lost,
    "active_nowhere": active_nowhere,
}
NOT_REPAIRED = dict.fromkeys(("plant", *VARIANTS), "openstack port set --enable")


def stopped(cloud: CloudRows) -> None:
    """The port of a server that is off is DOWN."""
    _is(cloud, cloud.pick("stopped"), "DOWN", "DHCP")


def disabled(cloud: CloudRows) -> None:
    """Its owner has disabled the port."""
    server = cloud.pick("active")
    _is(cloud, server, "DOWN")
    cloud.update("neutron", "ports", {"id": server.ports[0]}, admin_state_up=0)


def being_plugged(cloud: CloudRows) -> None:
    """The port is being plugged: it was bound a minute ago."""
    server = cloud.pick("active")
    _is(cloud, server, "BUILD", "L2")
    attribute(cloud, server.ports[0], updated_at=cloud.ago(60))


def rebooting(cloud: CloudRows) -> None:
    """The server is rebooted."""
    server = cloud.pick("active")
    _is(cloud, server, "DOWN", "L2")
    busy(cloud, server)


def just_started(cloud: CloudRows) -> None:
    """Nova changed the server a minute ago."""
    server = cloud.pick("active")
    _is(cloud, server, "DOWN")
    changed(cloud, server)


def without_agent(cloud: CloudRows) -> None:
    """A virtual function that nobody reports: its status says nothing."""
    server = cloud.pick("active")
    _is(cloud, server, "DOWN")
    cloud.update("neutron", "ml2_port_bindings", {"port_id": server.ports[0]}, vif_type="hw_veb")
    for cell in (name for name in cloud.databases if name.startswith("cell:")):
        sql = "UPDATE instance_info_caches SET network_info = REPLACE(network_info, :o, :n) WHERE instance_uuid = :u"
        kinds = {"o": '"type": "ovs"', "n": '"type": "hw_veb"', "u": server.uuid}
        cloud.execute(cell, sql, kinds)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "stopped": stopped,
    "disabled": disabled,
    "being_plugged": being_plugged,
    "rebooting": rebooting,
    "just_started": just_started,
    "without_agent": without_agent,
}
