# SPDX-License-Identifier: Apache-2.0
"""HA routers that are active on several hosts (catalogue I9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._floating import new_router
from stackmend_lab.plants._hosts import ALIVE
from stackmend_lab.plants._networks import OLD, new_port
from stackmend_lab.plants.neutron.agents._agents import new_agent


def _router(cloud: CloudRows, *instances: tuple[str, float]) -> str:
    """An HA router with instances of this state on agents with a heartbeat of this age."""
    router, server = new_router(cloud, project_id="f" * 32), cloud.pick("active")
    values = {"device_owner": "network:router_ha_interface", "project_id": "", "status": "ACTIVE"}
    for number, (state, age) in enumerate(instances, 1):
        agent = new_agent(cloud, "L3 agent", age)
        port = new_port(cloud, server, router, cloud.ago(OLD), str(server.host), **values)
        row = {"port_id": port, "router_id": router, "l3_agent_id": agent, "state": state}
        cloud.insert("neutron", "routerports", router_id=router, port_id=port, port_type=values["device_owner"])
        cloud.insert("neutron", "ha_router_agent_port_bindings", **row)
        bound = {"router_id": router, "l3_agent_id": agent, "binding_index": number}
        cloud.insert("neutron", "routerl3agentbindings", **bound)
    return router


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The instances do not hear each other any more."""
    return {"router": _router(cloud, ("active", ALIVE), ("active", ALIVE), ("standby", ALIVE))}


NOT_REPAIRED = {"plant": "ip netns exec qrouter-"}


def healthy(cloud: CloudRows) -> None:
    """One instance is active, and the others wait."""
    _router(cloud, ("active", ALIVE), ("standby", ALIVE), ("standby", ALIVE))


def host_died(cloud: CloudRows) -> None:
    """The host of the active instance died, and another took over: what the first reported is out of date."""
    _router(cloud, ("active", 900), ("active", ALIVE))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"healthy": healthy, "host_died": host_died}
