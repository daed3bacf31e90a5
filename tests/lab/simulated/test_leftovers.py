# SPDX-License-Identifier: Apache-2.0
"""Guests that a simulated cloud leaves behind, as Nova and libvirt do, and when they go."""

from __future__ import annotations

from stackmend.model.api import Request, Response
from stackmend_lab.simulated import Cloud, Faults, invariants
from stackmend_lab.simulated.leftovers import Why
from stackmend_lab.simulated.things import RUNNING, SHUTDOWN, Host, Server


def _cloud(faults: Faults | None = None) -> tuple[Cloud, Host, Server]:
    """(a cloud of three hosts, the first of them, its only server)."""
    cloud = Cloud(5, hosts=3, servers_per_host=1, faults=faults)
    host = cloud.world.hosts["c01"]
    return cloud, host, next(iter(host.servers.values()))


def _asked(cloud: Cloud, method: str, path: str, body: object = None) -> Response:
    answer = cloud.send(Request(service="compute", method=method, path=path, body=body, microversion="2.34"))
    assert answer.good, answer
    return answer


def _acts(cloud: Cloud, server: Server, **action: object) -> None:
    _asked(cloud, "POST", f"/servers/{server.id}/action", action)


def _moves(cloud: Cloud, server: Server) -> None:
    _acts(cloud, server, **{"os-migrateLive": {"host": None, "block_migration": "auto"}})


def _noted(cloud: Cloud) -> set[tuple[str, Why]]:
    return {(host, why) for host, _, why in cloud.world.left}


def test_an_evacuated_host_keeps_its_guests_until_nova_compute_starts() -> None:
    """The machine alone is back: they are off. Its nova-compute destroys them when it starts."""
    cloud, host, server = _cloud()
    cloud.world.stop(host, machine=True)
    cloud.clock.sleep(100)
    _acts(cloud, server, evacuate={"host": "c02", "onSharedStorage": True})
    cloud.clock.sleep(60)
    cloud.world.wake(host)
    assert (server.host, host.guests) == ("c02", {server.id: SHUTDOWN})
    assert _noted(cloud) == {("c01", Why.EVACUATED)}
    cloud.world.start(host)
    assert host.guests == {}
    assert _noted(cloud) == set()


def test_libvirt_may_start_what_was_evacuated() -> None:
    """It knows nothing of Nova's records: the server runs twice."""
    cloud, host, server = _cloud()
    cloud.world.stop(host, machine=True)
    cloud.clock.sleep(100)
    _acts(cloud, server, evacuate={"host": "c02", "onSharedStorage": True})
    cloud.clock.sleep(60)
    cloud.world.wake(host, resume=True)
    assert host.guests[server.id] == cloud.world.hosts["c02"].guests[server.id] == RUNNING
    assert any("runs on" in line for line in invariants(cloud))


def test_two_hypervisors_finish_a_move_alone() -> None:
    """nova-compute of the source is stopped while memory is copied: the guest arrives, and its row stays."""
    cloud, host, server = _cloud()
    _moves(cloud, server)
    cloud.clock.sleep(2.5)
    there = cloud.world.hosts[server.migrations[0].to or ""] if server.migrations else host
    assert there.arriving == {server.id}
    cloud.world.stop(host)
    cloud.clock.sleep(60)
    assert (server.host, server.task_state) == ("c01", "migrating")
    assert (server.id in host.guests, server.id in there.guests, there.arriving) == (False, True, set())
    cloud.world.start(host)
    assert (server.host, server.task_state) == ("c01", None)
    assert _noted(cloud) == {(there.name, Why.ARRIVED)}


def test_a_nova_compute_that_starts_in_time_ends_the_move() -> None:
    """It aborts the job of a live migration that it finds: the guest stays, and nothing of it is elsewhere."""
    cloud, host, server = _cloud(Faults(stalled=1.0))
    _moves(cloud, server)
    cloud.clock.sleep(5)
    cloud.world.stop(host)
    cloud.world.start(host)
    cloud.clock.sleep(20)
    assert server.id in host.guests
    assert not any(other.arriving for other in cloud.world.hosts.values())
    assert _noted(cloud) == set()


def test_the_source_of_a_cold_migration_keeps_its_guest_until_that_is_confirmed() -> None:
    """Switched off, as libvirt's driver leaves it; the confirmation undefines it."""
    cloud, host, server = _cloud()
    _acts(cloud, server, migrate=None)
    cloud.clock.sleep(60)
    assert server.vm_state == "resized"
    assert host.guests == {server.id: SHUTDOWN}
    _acts(cloud, server, confirmResize=None)
    cloud.clock.sleep(10)
    assert host.guests == {}
    assert invariants(cloud) == []


def test_a_cold_migration_that_fails_at_its_end_leaves_the_guest_at_its_source() -> None:
    """The row names the other host by then, which has none."""
    cloud, host, server = _cloud(Faults(unfinished=1.0))
    _acts(cloud, server, migrate=None)
    cloud.clock.sleep(60)
    assert (server.vm_state, server.host == "c01") == ("error", False)
    assert host.guests == {server.id: SHUTDOWN}
    assert server.id not in cloud.world.hosts[server.host or ""].guests
    assert _noted(cloud) == {("c01", Why.RESIZED)}


def test_a_server_deleted_while_its_host_is_down_leaves_its_guest() -> None:
    """The API deletes the rows alone; nova-compute destroys the guest within a minute of its start."""
    cloud, host, server = _cloud()
    cloud.world.stop(host)
    cloud.clock.sleep(100)
    _asked(cloud, "DELETE", f"/servers/{server.id}")
    cloud.clock.sleep(10)
    assert server.id not in cloud.world.servers
    assert host.guests == {server.id: RUNNING}
    assert _noted(cloud) == {("c01", Why.DELETED)}
    cloud.world.start(host)
    cloud.clock.sleep(61)
    assert host.guests == {}
    assert _noted(cloud) == set()
