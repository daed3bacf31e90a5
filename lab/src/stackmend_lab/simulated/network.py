# SPDX-License-Identifier: Apache-2.0
"""Neutron's API: ports, bindings, agents (neutron/plugins/ml2/plugin.py)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stackmend_lab.simulated.things import Host, Json, Port, Query, Refused
from stackmend_lab.simulated.world import NETWORK, PROJECT, World


def answer(world: World, method: str, parts: list[str], query: Query, body: Json) -> tuple[int, Any]:
    """(status, body)."""
    kind, rest = parts[0], parts[1:]
    if kind == "ports":
        return _ports(world, method, rest, query, body)
    if kind == "agents":
        return _agents(world, method, rest, query, body)
    if kind == "networks":
        return 200, {"networks": [{"id": NETWORK, "name": "net1", "project_id": PROJECT, "router:external": False}]}
    if kind in ("extensions", "routers", "subnets", "security-groups"):
        return 200, {kind.replace("-", "_"): []}
    raise Refused(404, "The resource could not be found.")


def shown(port: Port) -> Json:
    """A port."""
    return {
        "id": port.id,
        "name": "",
        "network_id": port.network,
        "tenant_id": PROJECT,
        "project_id": PROJECT,
        "mac_address": port.mac,
        "admin_state_up": True,
        "status": "ACTIVE" if port.up and port.host else "DOWN",
        "device_id": port.server,
        "device_owner": port.owner,
        "fixed_ips": [{"subnet_id": port.network, "ip_address": port.address}],
        "security_groups": [],
        "tags": list(port.tags),
        "binding:host_id": port.host,
        "binding:vif_type": "ovs" if port.host else "unbound",
        "binding:vnic_type": "normal",
        "binding:profile": {},
        "binding:vif_details": {},
    }


def _port(world: World, name: str) -> Port:
    found = world.ports.get(name)
    if found is None:
        raise Refused(404, f"Port {name} could not be found.")
    return found


def _ports(world: World, method: str, rest: list[str], query: Query, body: Json) -> tuple[int, Any]:
    if not rest:
        return 200, {"ports": [shown(port) for port in _listed(world, query)]}
    port = _port(world, rest[0])
    if len(rest) > 1 and rest[1] == "bindings":
        return _bindings(world, method, port, rest[2:], body)
    if len(rest) > 2 and rest[1] == "tags":
        others = tuple(tag for tag in port.tags if tag != rest[2])
        port.tags = (*others, rest[2]) if method == "PUT" else others
        return (201 if method == "PUT" else 204), None
    if method == "PUT":
        _update(world, port, body["port"])
    elif method == "DELETE":
        for host in list(port.bindings):
            world.unbind(port, host)
        del world.ports[port.id]
        return 204, None
    return 200, {"port": shown(port)}


def _listed(world: World, query: Query) -> Iterable[Port]:
    """By host: ports with any binding there, active or not; by server: its own ports."""
    if "binding:host_id" in query:
        names = [name for host in query["binding:host_id"] if host in world.hosts for name in world.hosts[host].bound]
        some: Iterable[Port] = [world.ports[name] for name in names]
    elif "device_id" in query:
        servers = [world.servers[name] for name in query["device_id"] if name in world.servers]
        some = [world.ports[name] for server in servers for name in server.ports if name in world.ports]
    else:
        some = world.ports.values()
    if "device_id" in query:
        some = [port for port in some if port.server in query["device_id"]]
    if "device_owner" in query:
        some = [port for port in some if port.owner in query["device_owner"]]
    if "status" in query:
        some = [port for port in some if ("ACTIVE" if port.up and port.host else "DOWN") in query["status"]]
    return some


def _update(world: World, port: Port, values: Json) -> None:
    if "binding:host_id" in values:
        for host in list(port.bindings):
            world.unbind(port, host)
        if values["binding:host_id"]:
            if values["binding:host_id"] not in world.hosts:
                raise Refused(400, "The port cannot be bound.")
            world.activate(port, values["binding:host_id"])
    port.server = values.get("device_id", port.server)
    port.owner = values.get("device_owner", port.owner)


def _bindings(world: World, method: str, port: Port, rest: list[str], body: Json) -> tuple[int, Any]:
    if method == "GET":
        return 200, {"bindings": [_binding(host, status) for host, status in port.bindings.items()]}
    if method == "POST":
        host = body["binding"]["host"]
        if host in port.bindings:
            raise Refused(409, f"Binding for port {port.id} on host {host} already exists.")
        world.bind(port, host, "INACTIVE")
        return 201, {"binding": _binding(host, "INACTIVE")}
    if rest[0] not in port.bindings:
        raise Refused(404, f"Binding for port {port.id} for host {rest[0]} could not be found.")
    if method == "PUT":
        world.activate(port, rest[0])
        return 200, {"binding": _binding(rest[0], "ACTIVE")}
    world.unbind(port, rest[0])
    return 204, None


def _binding(host: str, status: str) -> Json:
    return {
        "host": host, "status": status, "vif_type": "ovs", "vnic_type": "normal", "profile": {}, "vif_details": {},
    }  # fmt: skip


def _agents(world: World, method: str, rest: list[str], query: Query, body: Json) -> tuple[int, Any]:
    if not rest:
        names = query.get("host", list(world.hosts))
        return 200, {"agents": [_agent(world, world.hosts[name]) for name in names if name in world.hosts]}
    host = next((one for one in world.hosts.values() if one.agent == rest[0]), None)
    if host is None:
        raise Refused(404, f"Agent {rest[0]} could not be found.")
    if method == "PUT":
        host.agent_up = bool(body["agent"].get("admin_state_up", host.agent_up))
    return 200, {"agent": _agent(world, host)}


def _agent(world: World, host: Host) -> Json:
    return {
        "id": host.agent,
        "agent_type": "Open vSwitch agent",
        "binary": "neutron-openvswitch-agent",
        "host": host.name,
        "topic": "N/A",
        "alive": world.agent_alive(host),
        "admin_state_up": host.agent_up,
        "availability_zone": None,
        "heartbeat_timestamp": world.clock.text(None if host.agent_running else host.agent_beat).replace("T", " "),
        "configurations": {},
    }
