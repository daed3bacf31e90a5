# SPDX-License-Identifier: Apache-2.0
"""Placement's API: providers, allocations, candidates (placement/handlers)."""

from __future__ import annotations

from typing import Any

from stackmend_lab.simulated.things import Host, Json, Query, Refused
from stackmend_lab.simulated.world import PROJECT, USER, World

Version = tuple[int, int]
_RACE = "placement.concurrent_update"


def answer(world: World, method: str, parts: list[str], query: Query, body: Json, version: Version) -> tuple[int, Any]:
    """(status, body)."""
    kind, rest = parts[0], parts[1:]
    if kind == "resource_providers":
        return 200, _providers(world, rest, query)
    if kind == "allocations" and len(rest) == 1:
        if method == "GET":
            return 200, _held(world, rest[0], version)
        if method == "DELETE":
            if rest[0] not in world.consumers:
                raise Refused(404, f"No allocations for consumer '{rest[0]}'", "placement.undefined_code")
            world.release(rest[0])
            return 204, None
        return _put(world, rest[0], body)
    if kind == "allocation_candidates":
        return 200, _candidates(world, query)
    if kind == "usages":
        return 200, {"usages": {}}
    raise Refused(404, "The resource could not be found.", "placement.undefined_code")


def _provider(host: Host) -> Json:
    return {
        "uuid": host.node, "name": host.name, "generation": host.generation, "parent_provider_uuid": None,
        "root_provider_uuid": host.node, "links": [],
    }  # fmt: skip


def _inventory(host: Host) -> Json:
    rest: Json = {"min_unit": 1, "step_size": 1, "reserved": 0, "allocation_ratio": 1.0}
    return {name: {"total": total, "max_unit": total, **rest} for name, total in host.room.items()}


def _providers(world: World, rest: list[str], query: Query) -> Json:
    if not rest:
        names, uuids = query.get("name"), query.get("uuid") or query.get("in_tree")
        if names is not None:
            some = [world.hosts[name] for name in names if name in world.hosts]
        elif uuids is not None:
            some = [world.nodes[uuid] for uuid in uuids if uuid in world.nodes]
        else:
            some = list(world.hosts.values())
        return {"resource_providers": [_provider(host) for host in some]}
    host = world.nodes.get(rest[0])
    if host is None:
        raise Refused(404, f"No resource provider with uuid {rest[0]} found", "placement.undefined_code")
    part = rest[1] if len(rest) > 1 else ""
    if part == "allocations":
        held = {name: {"resources": dict(world.consumers[name].held[host.node])} for name in sorted(host.consumers)}
        return {"allocations": held, "resource_provider_generation": host.generation}
    if part == "inventories":
        return {"inventories": _inventory(host), "resource_provider_generation": host.generation}
    if part == "usages":
        return {"usages": {n: host.used.get(n, 0) for n in host.room}, "resource_provider_generation": host.generation}
    if part == "traits":
        traits = ["COMPUTE_STATUS_DISABLED"] if host.disabled else []
        return {"traits": traits, "resource_provider_generation": host.generation}
    if part == "aggregates":
        return {"aggregates": [], "resource_provider_generation": host.generation}
    return _provider(host)


def _held(world: World, name: str, version: Version) -> Json:
    consumer = world.consumers.get(name)
    if consumer is None:
        return {"allocations": {}}
    found: Json = {
        "allocations": {
            node: {"resources": dict(resources), "generation": world.nodes[node].generation}
            for node, resources in consumer.held.items()
        }
    }
    if version >= (1, 12):
        found |= {"project_id": PROJECT, "user_id": USER}
    if version >= (1, 28):
        found["consumer_generation"] = consumer.generation
    return found


def _put(world: World, name: str, body: Json) -> tuple[int, Any]:
    consumer = world.consumers.get(name)
    if body.get("consumer_generation") != (consumer.generation if consumer else None):
        raise Refused(409, "consumer generation conflict", _RACE)
    for node in body["allocations"]:
        if node not in world.nodes:
            raise Refused(400, f"Allocation for resource provider '{node}' that does not exist.")
    world.release(name)
    for node, one in body["allocations"].items():
        world.allocate(name, node, dict(one["resources"]))
    return 204, None


def _candidates(world: World, query: Query) -> Json:
    """Providers with capacity, in the order of the hosts."""
    wanted = {k: int(v) for k, _, v in (pair.partition(":") for pair in query["resources"][0].split(","))}
    limit = int(query["limit"][0]) if "limit" in query else None
    no_disabled = any("!COMPUTE_STATUS_DISABLED" in value for value in query.get("required", ()))
    found: list[Host] = []
    for host in world.hosts.values():
        if limit is not None and len(found) >= limit:
            break
        if world.fits(host, wanted) and not (no_disabled and host.disabled):
            found.append(host)
    summaries = {
        host.node: {
            "resources": {n: {"capacity": t, "used": host.used.get(n, 0)} for n, t in host.room.items()},
            "root_provider_uuid": host.node,
            "parent_provider_uuid": None,
        }
        for host in found
    }
    requests = [{"allocations": {host.node: {"resources": dict(wanted)}}} for host in found]
    return {"allocation_requests": requests, "provider_summaries": summaries}
