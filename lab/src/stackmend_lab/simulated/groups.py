# SPDX-License-Identifier: Apache-2.0
"""Server groups: their representation, and the hosts that a policy excludes (nova/scheduler/filters)."""

from __future__ import annotations

from typing import Any

from stackmend_lab.simulated.things import Group, Host, Json, Query, Refused, Server
from stackmend_lab.simulated.world import PROJECT, USER, World

#: maximum number that Nova lists at a time
_LIMIT = 1000
#: fault of a move that violates a policy: it leaves the server in error
VIOLATED = "violated"
#: shows a single policy with its rules
_RULES = (2, 64)


def answer(
    world: World, method: str, parts: list[str], query: Query, body: Json, version: tuple[int, int]
) -> tuple[int, Any]:
    """(status, body) of a request for ``/os-server-groups``."""
    if method == "POST":
        wish = body["server_group"]
        made = Group(world.uuid(), wish["name"], wish["policy"], dict(wish.get("rules") or {}))
        world.groups[made.id] = made
        return 200, {"server_group": shown(world, made, version)}
    if parts:
        if parts[0] not in world.groups:
            raise Refused(404, f"Instance group {parts[0]} could not be found.")
        if method == "DELETE":
            del world.groups[parts[0]]
            return 204, None
        return 200, {"server_group": shown(world, world.groups[parts[0]], version)}
    first = int(query.get("offset", ["0"])[0])
    some = list(world.groups.values())[first : first + int(query.get("limit", [str(_LIMIT)])[0])]
    return 200, {"server_groups": [shown(world, one, version) for one in some]}


def shown(world: World, group: Group, version: tuple[int, int]) -> Json:
    """One group, with its existing members."""
    found: Json = {
        "id": group.id, "name": group.name, "project_id": PROJECT, "user_id": USER,
        "members": [one for one in group.members if one in world.servers],
    }  # fmt: skip
    if version >= _RULES:
        return found | {"policy": group.policy, "rules": dict(group.rules)}
    return found | {"policies": [group.policy], "metadata": {}}


def of(world: World, server: Server) -> list[Group]:
    """The groups of a server: at most one, as in Nova."""
    return [group for group in world.groups.values() if server.id in group.members]


def allows(world: World, server: Server, host: Host) -> bool:
    """Whether the policy of its group allows the host; soft policies only weigh.

    For affinity its own host counts: a server alone in its group may not go anywhere else.
    """
    for group in of(world, server):
        there = [world.servers[one].host for one in group.members if one in world.servers]
        if group.policy == "affinity" and any(there) and host.name not in there:
            return False
        most = int(group.rules.get("max_server_per_host") or 1)
        if group.policy == "anti-affinity" and there.count(host.name) >= most and server.host != host.name:
            return False
    return True


def check(world: World, server: Server, host: Host) -> None:
    """The check of nova-compute on arrival (_validate_instance_group_policy): :class:`Refused`, with VIOLATED."""
    for group in of(world, server):
        members = [world.servers[one] for one in group.members if one != server.id and one in world.servers]
        others = [one.host for one in members if one.host]
        most = int(group.rules.get("max_server_per_host") or 1)
        apart = group.policy == "affinity" and others and host.name not in others
        if apart or (group.policy == "anti-affinity" and others.count(host.name) >= most):
            raise Refused(500, f"{group.policy.capitalize()} instance group policy was violated", VIOLATED)
