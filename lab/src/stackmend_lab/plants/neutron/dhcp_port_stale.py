# SPDX-License-Identifier: Apache-2.0
"""DHCP ports that are no longer used by any agent (catalogue I8)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import new_network, new_port, port_of

#: an age in seconds, longer than the check waits
_OLD = 3 * 86400


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The agent's host was replaced, and the agent was deleted with it."""
    return {"port": _port(cloud, "net-node-gone")}


def reserved(cloud: CloudRows) -> dict[str, Any]:
    """The port was set aside for another agent, and none has taken it over."""
    port = _port(cloud, "net-node-gone")
    cloud.update("neutron", "ports", {"id": port}, device_id="reserved_dhcp_port")
    return {"port": port}


def not_scheduled(cloud: CloudRows) -> dict[str, Any]:
    """The network was removed from an agent while the agent was dead."""
    host = f"net-{uuid.uuid4().hex[:8]}"
    _agent(cloud, host)
    return {"port": _port(cloud, host)}


def last_one(cloud: CloudRows) -> dict[str, Any]:
    """The network has DHCP, and all its other DHCP ports are reserved: no agent uses them."""
    network, _ = new_network(cloud)
    for _ in range(2):
        other = _port(cloud, "net-node-away", 3600, network_id=network)
        cloud.update("neutron", "ports", {"id": other}, device_id="reserved_dhcp_port")
    return {"port": _port(cloud, "net-node-gone", network_id=network)}


def two_stale(cloud: CloudRows) -> dict[str, Any]:
    """Both DHCP ports of a network are stale: each of them would be deleted because of the other."""
    network, _ = new_network(cloud)
    _port(cloud, "net-node-gone", network_id=network)
    return {"port": _port(cloud, "net-node-gone-too", network_id=network)}


def _the_other(cloud: CloudRows, key: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    sql = "SELECT o.id FROM ports p JOIN ports o ON o.network_id = p.network_id WHERE p.id = :p AND o.id <> :p"
    return [("dhcp-port-stale", {"port": row["id"]}) for row in cloud.rows("neutron", sql, {"p": key["port"]})]


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "reserved": reserved,
    "not_scheduled": not_scheduled,
    "last_one": last_one,
    "two_stale": two_stale,
}
NOT_REPAIRED = {"last_one": "no other DHCP port", "two_stale": "no other DHCP port"}
BESIDE = {"two_stale": _the_other}


def _port(cloud: CloudRows, host: str, age: int = _OLD, network_id: str = "") -> str:
    server = cloud.pick("active")
    network = network_id or port_of(cloud, server.ports[0])["network_id"]
    values = {"device_owner": "network:dhcp", "status": "ACTIVE", "network_id": network}
    device = f"dhcp{uuid.uuid5(uuid.NAMESPACE_DNS, host)}-{network}"
    return new_port(cloud, server, device, cloud.ago(age), host, **values)


def _agent(cloud: CloudRows, host: str) -> str:
    """Create a living DHCP agent on a host of its own; returns its id."""
    now = cloud.ago(5)
    return str(
        cloud.insert(
            "neutron", "agents", id=str(uuid.uuid4()), agent_type="DHCP agent", binary="neutron-dhcp-agent",
            topic="dhcp_agent", host=host, admin_state_up=1, created_at=cloud.ago(_OLD), started_at=cloud.ago(_OLD),
            heartbeat_timestamp=now, configurations="{}", load=0,
        )
    )  # fmt: skip


def second_agent(cloud: CloudRows) -> None:
    """Two agents serve the network."""
    host = f"net-{uuid.uuid4().hex[:8]}"
    port = _port(cloud, host)
    values = {"network_id": port_of(cloud, port)["network_id"], "dhcp_agent_id": _agent(cloud, host)}
    cloud.insert("neutron", "networkdhcpagentbindings", **values, binding_index=2)


def being_rescheduled(cloud: CloudRows) -> None:
    """The network was removed from its agent an hour ago."""
    _port(cloud, "net-node-gone", 3600)


def of_ovn(cloud: CloudRows) -> None:
    """The port over which OVN serves metadata in a network: it is on every host, and no DHCP agent exists."""
    server = cloud.pick("active")
    device = f"ovnmeta-{port_of(cloud, server.ports[0])['network_id']}"
    new_port(cloud, server, device, cloud.ago(_OLD), device_owner="network:distributed")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "second_agent": second_agent,
    "being_rescheduled": being_rescheduled,
    "of_ovn": of_ovn,
}
