# SPDX-License-Identifier: Apache-2.0
"""Invariants of a simulated cloud, whatever fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from stackmend_lab.simulated.cloud import Cloud
from stackmend_lab.simulated.things import SHUTDOWN, Migration, Server
from stackmend_lab.simulated.world import World

_CAME_TO_NOTHING = frozenset({"error", "failed", "cancelled", "reverted"})
#: migration records that no longer have allocations
_ENDED = _CAME_TO_NOTHING | {"completed", "confirmed"}


def invariants(cloud: Cloud, *, drained: Sequence[str] = (), empty: Iterable[str] = (), since: int = 0) -> list[str]:
    """Every violated invariant, in words; [] if there is none.

    ``drained``: hosts whose servers were asked to move once each since record number ``since``; ``empty``: hosts that a
    run reported as empty. Servers that a fault left half moved (``cloud.world.harmed``) are exempt from the rules on
    bindings and allocations, and may be anywhere, but only once.
    """
    world = cloud.world
    return [
        *_lost(cloud),
        *_twice(world),
        *_moved_twice(world, drained, since),
        *_untouched(cloud),
        *_not_empty(world, empty),
        *_grouped(world),
        *(line for server in world.servers.values() for line in _settled(world, server)),
        *_leftovers(world),
    ]


def _lost(cloud: Cloud) -> Iterator[str]:
    """A server is only lost if its deletion was requested."""
    world = cloud.world
    for name in cloud.before:
        if name not in world.servers and name not in world.deleted:
            yield f"server {name} is lost"
    for server in world.servers.values():
        if server.host is not None and server.id not in world.hosts[server.host].servers:
            yield f"server {server.id} is not among those of its host {server.host}"


def _twice(world: World) -> Iterator[str]:
    """A guest runs at most once, and not on a dead machine."""
    seen: dict[str, str] = {}
    for host in world.hosts.values():
        if not host.alive:
            continue
        for name, state in host.guests.items():
            if state == SHUTDOWN:
                continue
            if name in seen:
                yield f"server {name} runs on {seen[name]} and on {host.name}"
            seen[name] = host.name


def _moved_twice(world: World, drained: Sequence[str], since: int) -> Iterator[str]:
    """At most one move of a server from a drained host succeeds."""
    hosts = set(drained)
    moves: dict[tuple[str, str], int] = {}
    for one in world.migrations:
        if one.number > since and one.source in hosts and one.status not in _CAME_TO_NOTHING:
            moves[one.source, one.server] = moves.get((one.source, one.server), 0) + 1
    for (host, name), number in moves.items():
        if number > 1:
            yield f"server {name} was moved {number} times from {host}"


def _untouched(cloud: Cloud) -> Iterator[str]:
    """Servers without a request are unchanged; a dead host takes its guests with it."""
    world = cloud.world
    for name, before in cloud.before.items():
        server = world.servers.get(name)
        if server is None or name in world.touched:
            continue
        now = (server.host, server.vm_state, server.locked)
        died = server.host is not None and world.hosts[server.host].starts
        if now != before and not died:
            yield f"server {name} was not touched and is {now}, not {before}"


def _not_empty(world: World, empty: Iterable[str]) -> Iterator[str]:
    for name in empty:
        host = world.hosts[name]
        for what, found in (
            ("servers", host.servers), ("guests", host.guests), ("allocations", host.consumers),
            ("bindings", host.bound), ("attachments", host.attached),
        ):  # fmt: skip
            if found:
                yield f"host {name} still has {len(found)} {what}: {sorted(found)[0]}"


def _grouped(world: World) -> Iterator[str]:
    """The policies of server groups hold, except for servers that a fault left half moved."""
    for group in world.groups.values():
        there = Counter(
            world.servers[one].host for one in group.members if one in world.servers and one not in world.harmed
        )
        hosts = {host: number for host, number in there.items() if host is not None}
        if group.policy == "affinity" and len(hosts) > 1:
            yield f"servers of group {group.id} (affinity) are on {', '.join(sorted(hosts))}"
        most = int(group.rules.get("max_server_per_host") or 1)
        if group.policy == "anti-affinity" and max(hosts.values(), default=0) > most:
            yield f"servers of group {group.id} (anti-affinity) are together: {hosts}"


def _settled(world: World, server: Server) -> Iterator[str]:
    """Guest, allocation, bindings and attachments of an idle server are on its host."""
    if server.task_state is not None or server.id in world.harmed or server.host is None:
        return
    if _open(server) or server.vm_state in ("error", "building"):
        return
    host = world.hosts[server.host]
    if host.alive and not host.starts and server.id not in host.guests:
        yield f"server {server.id} is on {host.name}, its guest is not"
    holder = world.consumers.get(server.id)
    left = {world.nodes[node].name for node in holder.held} if holder else set()
    if left - _evacuated(server) != {host.name}:
        yield f"server {server.id} is on {host.name}, its allocation on {', '.join(sorted(left)) or 'no host'}"
    for name in server.ports:
        port = world.ports[name]
        if port.bindings != {host.name: "ACTIVE"}:
            yield f"server {server.id} is on {host.name}, its port is bound to {port.bindings}"
    for volume in server.volumes:
        where = sorted(world.attachments[one].host for one in world.volumes[volume])
        if where != [host.name]:
            yield f"server {server.id} is on {host.name}, its volume is attached on {', '.join(where) or 'no host'}"


def _open(server: Server) -> list[Migration]:
    return [one for one in server.migrations or () if one.status not in _ENDED | {"done"}]


def _evacuated(server: Server) -> set[str]:
    """Hosts it was evacuated from that have not come back: its allocations there are legitimate."""
    return {one.source for one in server.migrations or () if one.kind == "evacuation" and one.status == "done"}


def _leftovers(world: World) -> Iterator[str]:
    """An ended move has no allocations left."""
    for one in world.migrations:
        if one.status in _ENDED and one.id in world.consumers and one.server not in world.harmed:
            yield f"the {one.status} {one.kind} {one.id} of server {one.server} still holds an allocation"
