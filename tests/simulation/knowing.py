# SPDX-License-Identifier: Apache-2.0
"""What a simulated cloud knows of its guests, in the words of the checks of hypervisors, without a query.

It begins at the guests and what was noted when they were left behind (:mod:`stackmend_lab.simulated.leftovers`), not at
rows: which record says so does not matter here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from stackmend_lab.simulated.leftovers import Why
from stackmend_lab.simulated.things import PAUSED, RUNNING, SHUTDOWN, Server
from stackmend_lab.simulated.world import World

#: (check, server, host or "", code or "")
Known = tuple[str, str, str, str]
#: seconds: what is younger may still be under way
IDLE, DRIFTING, REAPED, ACTING = 900, 1200, 3600, 120
_OVER = frozenset({"completed", "confirmed", "reverted", "error", "failed", "cancelled", "done"})
_HAS_DOMAIN = frozenset({"active", "paused", "suspended", "stopped", "rescued", "shelved", "error"})


def known(world: World, away: Collection[str], late: float = 0.0, again: float | None = None) -> set[Known]:
    """Every finding that an audit ``late`` seconds from now owes, if it cannot read the hosts that are ``away``.

    ``again``: seconds from now to its second look, which alone asks what was done with a server a moment ago.
    """
    there = {name: host for name, host in world.hosts.items() if name not in away}
    found: set[Known] = set()
    copies: dict[str, dict[str, int]] = {}
    for name, host in there.items():
        for server, state in {**dict.fromkeys(host.arriving, PAUSED), **host.guests}.items():
            copies.setdefault(server, {})[name] = state
    for server in world.servers.values():
        if not _acting(world, server, late if again is None else again):
            found.update(_living(world, server, copies.get(server.id, {}), away, late))
    for name, some in copies.items():
        if name in world.buried and _age(world, world.buried[name][2], late) > REAPED:
            found.update(("domain-undead", name, host, "deleted") for host in some)
    return found


def _living(
    world: World, server: Server, copies: dict[str, int], away: Collection[str], late: float
) -> Iterator[Known]:
    if sum(state != SHUTDOWN for state in copies.values()) > 1:
        yield "domain-on-two-hosts", server.id, "", ""
        return
    age = _age(world, server.updated, late)
    if server.task_state is not None or server.vm_state == "building" or age <= IDLE or server.host is None:
        return
    home = server.host
    strays = {host: state for host, state in copies.items() if host != home}
    if home not in away and home not in copies and server.vm_state in _HAS_DOMAIN:
        yield "server-active-domain-missing", server.id, "", "elsewhere" if strays else "absent"
        return
    if server.vm_state == "resized":
        return
    left = world.left.of(server.id)
    for host, state in strays.items():
        more = home not in copies or (state != SHUTDOWN and copies[home] == SHUTDOWN)
        code = "alone" if more else "evacuated" if left[host] is Why.EVACUATED else "foreign"
        yield "domain-undead", server.id, host, code
    if not strays and home in copies and age > DRIFTING and (code := _drift(server.vm_state, copies[home])):
        yield "server-power-state-drift", server.id, "", code


def _drift(vm_state: str, state: int) -> str:
    if vm_state == "active":
        return {SHUTDOWN: "off", PAUSED: "paused"}.get(state, "")
    if vm_state in ("stopped", "suspended"):
        return "on" if state == RUNNING else ""
    return "running" if vm_state == "paused" and state == RUNNING else ""


def _acting(world: World, server: Server, late: float) -> bool:
    """Whether it is being moved, or somebody asked something of it a moment ago."""
    moving = any(one.status not in _OVER for one in server.migrations or ())
    return moving or any(_age(world, deed.at, late) < ACTING for deed in server.actions or ())


def _age(world: World, at: float, late: float) -> int:
    return int(world.clock.seconds - at) + int(late)


def unnoted(world: World) -> list[str]:
    """Guests on another host than their server's that nobody noted: a fault of the simulation itself."""
    return [
        f"guest {name} on {host.name}"
        for host in world.hosts.values()
        for name in host.guests
        if (name in world.buried or world.servers[name].host != host.name) and (host.name, name) not in world.left.noted
    ]


def only_copies(world: World) -> set[tuple[str, str]]:
    """(server, host) of guests whose loss would be that of the server: nobody is ever to be told to destroy them."""
    found = set()
    for server in world.servers.values():
        holding = {host.name: host.guests[server.id] for host in world.hosts.values() if server.id in host.guests}
        running = [host for host, state in holding.items() if state != SHUTDOWN]
        if len(running or holding) == 1:
            found.add((server.id, next(iter(running or holding))))
    return found
