# SPDX-License-Identifier: Apache-2.0
"""Hosts with several gateway ports for floating IPs (reported by operators)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._floating import gateway
from stackmend_lab.plants._networks import OLD, new_network, new_port


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Two floating IPs arrived on the host at the same moment."""
    host, network = f"dvr-{uuid.uuid4().hex[:8]}", gateway(cloud)["network_id"]
    agent = str(uuid.uuid4())
    for _ in range(2):
        _port(cloud, host, network, agent)
    return {"network": network, "host": host}


NOT_REPAIRED = {"plant": "ip netns exec"}


def _port(cloud: CloudRows, host: str, network: str, agent: str = "", age: int = OLD) -> None:
    values = {"device_owner": "network:floatingip_agent_gateway", "status": "ACTIVE", "network_id": network}
    new_port(cloud, cloud.pick("active"), agent or str(uuid.uuid4()), cloud.ago(age), host, **values)


def two_networks(cloud: CloudRows) -> None:
    """One port in each of two external networks."""
    host = f"dvr-{uuid.uuid4().hex[:8]}"
    for network in (gateway(cloud)["network_id"], new_network(cloud)[0]):
        _port(cloud, host, network)


def two_hosts(cloud: CloudRows) -> None:
    """One port on each of two hosts."""
    for _ in range(2):
        _port(cloud, f"dvr-{uuid.uuid4().hex[:8]}", gateway(cloud)["network_id"])


def being_replaced(cloud: CloudRows) -> None:
    """The agent was created again a moment ago, and the old port is still being deleted."""
    host, network = f"dvr-{uuid.uuid4().hex[:8]}", gateway(cloud)["network_id"]
    _port(cloud, host, network)
    _port(cloud, host, network, age=60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "two_networks": two_networks,
    "two_hosts": two_hosts,
    "being_replaced": being_replaced,
}
