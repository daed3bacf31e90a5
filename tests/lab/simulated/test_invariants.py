# SPDX-License-Identifier: Apache-2.0
"""The invariants notice what they are for: each one is broken by hand once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackmend_lab.simulated import Cloud, invariants
from stackmend_lab.simulated.things import Group, Server
from stackmend_lab.simulated.world import World


def _lost(world: World, server: Server) -> None:
    del world.servers[server.id], world.hosts["c01"].servers[server.id]


def _doubled(world: World, server: Server) -> None:
    world.hosts["c02"].guests[server.id] = 1


def _elsewhere(world: World, server: Server) -> None:
    world.move(server, "c02")


def _guest_gone(world: World, server: Server) -> None:
    del world.hosts["c01"].guests[server.id]


def _held_twice(world: World, server: Server) -> None:
    world.allocate(server.id, world.hosts["c02"].node, server.flavor.resources)


def _bound_twice(world: World, server: Server) -> None:
    world.bind(world.ports[server.ports[0]], "c02", "INACTIVE")


def _attached_twice(world: World, server: Server) -> None:
    world.attach(server.volumes[0], server.id, "c02")


def _stopped(world: World, server: Server) -> None:
    server.vm_state = "stopped"


def _leftover(world: World, server: Server) -> None:
    migration = world.migrate("live-migration", server, "failed", "c02")
    world.allocate(migration.id, world.hosts["c02"].node, server.flavor.resources)


def _moved_twice(world: World, server: Server) -> None:
    for _ in range(2):
        world.migrate("live-migration", server, "completed", "c02")


def _grouped(policy: str, host: str) -> Callable[[World, Server], None]:
    """A group of the server and one of that host."""

    def harm(world: World, server: Server) -> None:
        other = next(one for one in world.hosts[host].servers if one != server.id)
        world.groups["g"] = Group("g", "of a host", policy, {}, [server.id, other])

    return harm


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_grouped("affinity", "c02"), "are on c01, c02"),
        (_grouped("anti-affinity", "c01"), "are together"),
        (_lost, "is lost"),
        (_doubled, "runs on c01 and on c02"),
        (_elsewhere, "was not touched"),
        (_guest_gone, "its guest is not"),
        (_held_twice, "its allocation on c01, c02"),
        (_bound_twice, "its port is bound to"),
        (_attached_twice, "its volume is attached on c01, c02"),
        (_stopped, "was not touched"),
        (_leftover, "still holds an allocation"),
        (_moved_twice, "was moved 2 times from c01"),
    ],
)
def test_what_is_wrong_is_noticed(harm: Callable[[World, Server], None], words: str) -> None:
    """All is well before, and one sentence names it after."""
    cloud = Cloud(1, hosts=2, servers_per_host=4)
    assert invariants(cloud) == []
    server = next(one for one in cloud.world.hosts["c01"].servers.values() if one.volumes)
    harm(cloud.world, server)
    found = invariants(cloud, drained=["c01"])
    assert any(words in line and (server.id in line or "host" in line or "group g" in line) for line in found), found


def test_a_host_that_is_said_to_be_empty_is_looked_into() -> None:
    """Servers, guests, allocations, bindings and attachments, each by itself."""
    cloud = Cloud(1, hosts=2, servers_per_host=4)
    found = invariants(cloud, empty=["c01"])
    assert [line.split()[5] for line in found] == ["servers:", "guests:", "allocations:", "bindings:", "attachments:"]
