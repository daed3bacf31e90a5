# SPDX-License-Identifier: Apache-2.0
"""Operations that only wait: for a host to be empty in every service, a service to be up, a server to run.

Each service is queried separately whether the host is empty. Objects that are left and idle will not leave by
themselves: that is a failure at once, not only at the time limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from stackmend.cloud.states import OVER
from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Asked, Implementation, ResourceReader, host_services, nothing
from stackmend.drivers.api.operations.moves import RECORDS
from stackmend.drivers.api.session import segment
from stackmend.model.operations import Seen
from stackmend.model.operations.block_storage import VolumesAway
from stackmend.model.operations.compute import ServerGone
from stackmend.model.operations.compute_hosts import HostServes, ServersAway, ServiceSeen, ServiceUp
from stackmend.model.operations.network import AgentsAlive, PortsAway
from stackmend.model.operations.placement import ProvidersEmpty
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.operations.waiting import AgentsSeen, LeftSeen
from stackmend.model.step import StepState

#: the first version in which a tree of providers can be requested
_TREE = "1.14"
#: how many of the remaining objects are named
_NAMED = 5
#: ports of agents, which move with the routers and networks they serve
_OF_AGENTS = "network:"


def _left(what: Literal["servers", "ports", "consumers", "volumes"], some: list[str], *, moving: bool) -> LeftSeen:
    named = ", ".join(sorted(some)[:_NAMED]) + (", ..." if len(some) > _NAMED else "")
    found: LeftSeen = {"left": len(some), "moving": moving}
    if some:
        found[what] = named
    return found


def _empty(picture: LeftSeen, _: object) -> StepState:
    if not picture["left"]:
        return StepState.DONE
    return StepState.INTENT if picture["moving"] else StepState.FAILED


def _empty_soon(picture: LeftSeen | AgentsSeen, _: object) -> StepState:
    """For what others remove a moment after a server has left."""
    return StepState.DONE if not picture["left"] else StepState.INTENT


def _of_compute(reader: ResourceReader, asked: ServersAway) -> LeftSeen:
    """Servers on the host, and migrations from or to it that have not ended."""
    host = segment(asked.host)
    servers = list(reader.every("compute", f"/servers/detail?all_tenants=1&host={host}", "servers", _servers.SERVER))
    moves = [
        one
        for one in reader.every("compute", f"/os-migrations?host={host}", "migrations", RECORDS)
        if one["status"] not in OVER
    ]
    moving = {str(one["instance_uuid"]) for one in moves if one["status"] != "finished"}
    idle = [
        str(one["id"]) for one in servers
        if one.get("OS-EXT-STS:task_state") is None and str(one["id"]) not in moving
    ]  # fmt: skip
    idle += [str(one["instance_uuid"]) for one in moves if one["status"] == "finished"]
    every = {str(one["id"]) for one in servers} | {str(one["instance_uuid"]) for one in moves}
    return _left("servers", sorted(every), moving=not idle)


def _of_network(reader: ResourceReader, asked: PortsAway) -> LeftSeen:
    """Ports with an active binding on the host: Neutron's filter also returns those with an inactive one there."""
    host = str(asked.host)
    fields = "&fields=id&fields=device_owner&fields=binding:host_id"
    ports = [
        str(port["id"])
        for port in reader.every("network", f"/ports?binding:host_id={segment(host)}{fields}", "ports")
        if port.get("binding:host_id") == host
        and (asked.agents or not str(port.get("device_owner", "")).startswith(_OF_AGENTS))
    ]
    return _left("ports", ports, moving=bool(ports))


def _of_placement(reader: ResourceReader, asked: ProvidersEmpty) -> LeftSeen:
    """Consumers with allocations on the host's providers, including nested ones: servers, and migrations by UUID."""
    consumers: set[str] = set()
    for root in asked.providers:
        tree = reader.get("placement", f"/resource_providers?in_tree={segment(root)}", _TREE) or {}
        for one in tree.get("resource_providers", ()):
            held = reader.get("placement", f"/resource_providers/{segment(one['uuid'])}/allocations", _TREE) or {}
            consumers |= set(held.get("allocations", ()))
    return _left("consumers", sorted(consumers), moving=bool(consumers))


def _of_block_storage(reader: ResourceReader, asked: VolumesAway) -> LeftSeen:
    """Those of the named volumes that are still attached to the host."""
    host, some = str(asked.host), []
    for name in asked.volumes:
        body = reader.get("block-storage", f"/volumes/{segment(name)}", "3.0")
        held = [] if body is None else body["volume"].get("attachments", ())
        if any(one.get("host_name") == host for one in held):
            some.append(str(name))
    return _left("volumes", some, moving=bool(some))


# -- services and agents


def _service_up(picture: ServiceSeen, asked: ServiceUp) -> StepState:
    """Up, with a heartbeat later than ``after``: Nova shows a service as up for a minute after it has died."""
    if picture["service"] == "absent":
        return StepState.FAILED
    heard = str(picture["updated_at"] or "")[:19] > str(asked.after or "")[:19]
    return StepState.DONE if picture["state"] == "up" and heard else StepState.INTENT


def _serves(picture: ServiceSeen, _: HostServes) -> StepState:
    if picture["service"] == "absent" or picture["status"] != "enabled" or picture["forced_down"]:
        return StepState.FAILED
    return StepState.DONE if picture["state"] == "up" else StepState.INTENT


def _agents(reader: ResourceReader, asked: AgentsAlive) -> AgentsSeen:
    dead = [
        str(one["agent_type"])
        for one in reader.every("network", f"/agents?host={segment(asked.host)}", "agents")
        if not one["alive"]
    ]
    return {"left": len(dead), **({"dead": ", ".join(sorted(dead))} if dead else {})}


# -- servers


def connected(port: Mapping[str, object], host: object) -> bool:
    """Whether a port is active on a host."""
    return port.get("status") == "ACTIVE" and port.get("binding:host_id") == host


def _state(reader: ResourceReader, asked: ServerGone) -> ServerSeen:
    return _servers.picture(_servers.read(reader, asked.server))


def _gone(picture: ServerSeen, _: ServerGone) -> StepState:
    if picture["server"] == "absent":
        return StepState.DONE
    return StepState.FAILED if picture["server.task_state"] is None else StepState.INTENT


def _waiting(
    of: type[Asked],
    look: Callable[[ResourceReader, Asked], Seen],
    judge: Callable[[Seen, Asked], StepState],
    waits: str,
    limit: float = 300,
    microversion: str = "",
) -> Implementation[Asked, Seen]:
    return Implementation(
        of=of, look=look, judge=judge, waits=waits, limit=limit, requests=nothing, again=True,
        microversion=microversion,
    )  # fmt: skip


OPERATIONS = (
    _waiting(
        ServersAway, _of_compute, _empty,
        "wait until no server and no migration is on {host}", limit=600, microversion=RECORDS,
    ),
    _waiting(
        PortsAway, _of_network, _empty_soon, "wait until no port of a server is bound to {host}",
    ),
    _waiting(
        ProvidersEmpty, _of_placement, _empty_soon,
        "wait until no consumer has an allocation on the providers of {host}", microversion=_TREE,
    ),
    _waiting(
        VolumesAway, _of_block_storage, _empty_soon,
        "wait until none of the volumes previously attached to {host} is attached there", microversion="3.0",
    ),
    _waiting(
        ServiceUp, host_services.service, _service_up,
        "wait until nova-compute of {host} is up", microversion=host_services.SERVICES,
    ),
    _waiting(
        HostServes, host_services.service, _serves,
        "check that nova-compute of {host} is up and enabled", microversion=host_services.SERVICES,
    ),
    _waiting(AgentsAlive, _agents, _empty_soon, "wait until every agent of {host} is alive"),
    _waiting(ServerGone, _state, _gone, "wait until server {server} is deleted", microversion="2.1"),
)  # fmt: skip
