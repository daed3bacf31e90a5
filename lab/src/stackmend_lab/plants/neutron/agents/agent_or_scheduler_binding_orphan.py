# SPDX-License-Identifier: Apache-2.0
"""Dead agents, and what is left to them (catalogue I9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._floating import new_router
from stackmend_lab.plants._hosts import ALIVE
from stackmend_lab.plants._networks import new_network
from stackmend_lab.plants.neutron.agents._agents import DAY, new_agent


def _network(cloud: CloudRows, *agents: str) -> None:
    network, _ = new_network(cloud)
    for number, agent in enumerate(agents, 1):
        row = {"network_id": network, "dhcp_agent_id": agent, "binding_index": number}
        cloud.insert("neutron", "networkdhcpagentbindings", **row)


def _router(cloud: CloudRows, *agents: str) -> None:
    router = new_router(cloud, project_id="f" * 32)
    for number, agent in enumerate(agents, 1):
        row = {"router_id": router, "l3_agent_id": agent, "binding_index": number}
        cloud.insert("neutron", "routerl3agentbindings", **row)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A network node died two hours ago: two networks have no DHCP any more."""
    agent = new_agent(cloud, "DHCP agent", 7200)
    _network(cloud, agent)
    _network(cloud, agent)
    return {"agent": agent}


def routers(cloud: CloudRows) -> dict[str, Any]:
    """A router is left to a dead agent, and another router has a living one beside it."""
    agent = new_agent(cloud, "L3 agent", 2 * DAY)
    _router(cloud, agent)
    _router(cloud, agent, new_agent(cloud, "L3 agent", ALIVE))
    return {"agent": agent}


def both_dead(cloud: CloudRows) -> dict[str, Any]:
    """The other agent of the network was disabled, and is dead, too."""
    agent = new_agent(cloud, "DHCP agent", 2 * DAY)
    _network(cloud, agent, new_agent(cloud, "DHCP agent", 3 * DAY, admin_state_up=0))
    return {"agent": agent}


def removed(cloud: CloudRows) -> dict[str, Any]:
    """A host was removed months ago, and its agent was never deleted."""
    return {"agent": new_agent(cloud, "L3 agent", 100 * DAY)}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "routers": routers,
    "both_dead": both_dead,
    "removed": removed,
}
NOT_REPAIRED = dict.fromkeys(("plant", *VARIANTS), "openstack network agent delete")


def redundant(cloud: CloudRows) -> None:
    """The network has a living agent as well."""
    _network(cloud, new_agent(cloud, "DHCP agent", 2 * DAY), new_agent(cloud, "DHCP agent", ALIVE))


def disabled(cloud: CloudRows) -> None:
    """The agent was disabled before its host was switched off."""
    _network(cloud, new_agent(cloud, "DHCP agent", 40 * DAY, admin_state_up=0))


def restarting(cloud: CloudRows) -> None:
    """The host is being rebooted."""
    _router(cloud, new_agent(cloud, "L3 agent", 600))


def idle_for_a_week(cloud: CloudRows) -> None:
    """Nothing is scheduled to the agent, and it may come back."""
    new_agent(cloud, "L3 agent", 7 * DAY)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "redundant": redundant,
    "disabled": disabled,
    "restarting": restarting,
    "idle_for_a_week": idle_for_a_week,
}
