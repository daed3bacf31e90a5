# SPDX-License-Identifier: Apache-2.0
"""DHCP ports that are no longer used by any agent (catalogue I8)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import new_port, port_of

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
    port = _port(cloud, "net-node-gone")
    network = port_of(cloud, port)["network_id"]
    sql = "UPDATE ports SET device_id = 'reserved_dhcp_port' WHERE network_id = :n AND device_owner = 'network:dhcp'"
    cloud.execute("neutron", f"{sql} AND id <> :p", {"n": network, "p": port})
    return {"port": port}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "reserved": reserved,
    "not_scheduled": not_scheduled,
    "last_one": last_one,
}
NOT_REPAIRED = {"last_one": "the last DHCP port"}


def _port(cloud: CloudRows, host: str, age: int = _OLD) -> str:
    server = cloud.pick("active")
    network = port_of(cloud, server.ports[0])["network_id"]
    device = f"dhcp{uuid.uuid5(uuid.NAMESPACE_DNS, host)}-{network}"
    return new_port(cloud, server, device, cloud.ago(age), host, device_owner="network:dhcp", status="ACTIVE")


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


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "second_agent": second_agent,
    "being_rescheduled": being_rescheduled,
}
