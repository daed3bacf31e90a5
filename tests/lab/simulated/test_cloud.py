# SPDX-License-Identifier: Apache-2.0
"""The simulated cloud as a session: what goes wrong with calls, what it takes, and that it is the same each time."""

from __future__ import annotations

from typing import Any

import pytest

from stackmend.drivers.api.reading import ApiReading
from stackmend.model.api import Request
from stackmend.model.errors import LostError, UnsentError
from stackmend.model.protocols import Session
from stackmend_lab.simulated import Cloud, Faults, invariants


def stop(cloud: Cloud) -> Request:
    """A call that changes something."""
    server = next(iter(cloud.world.servers))
    body = {"os-stop": None}
    return Request(service="compute", method="POST", path=f"/servers/{server}/action", body=body)


@pytest.mark.parametrize(
    ("kind", "end", "taken"),
    [
        ("500", 500, False), ("500 taken", 500, True), ("503", 503, False), ("unsent", UnsentError, False),
        ("lost", LostError, False), ("lost taken", LostError, True),
    ],
)  # fmt: skip
def test_a_call_that_goes_wrong_was_taken_or_not(kind: str, end: Any, taken: bool) -> None:
    """The answer does not tell which of the two it was; the server does."""
    cloud = Cloud(1, faults=Faults(every=1, kinds=(kind,)))
    if isinstance(end, int):
        assert cloud.send(stop(cloud)).status == end
    else:
        with pytest.raises(end):
            cloud.send(stop(cloud))
    server = next(iter(cloud.world.servers.values()))
    assert server.task_state == ("powering-off" if taken else None)
    cloud.clock.sleep(60)
    assert server.vm_state == ("stopped" if taken else "active")


def test_every_nth_call_goes_wrong() -> None:
    """And no other."""
    cloud = Cloud(1, faults=Faults(every=4, kinds=("503",)))
    path = "/os-services"
    ends = [cloud.send(Request(service="compute", method="GET", path=path)).status for _ in range(12)]
    assert ends == [200, 200, 200, 503] * 3


def test_pages_are_put_together_by_the_reader() -> None:
    """Lists that are longer than a page are read whole, each member once, in the order of the service."""
    cloud: Session = Cloud(1, hosts=3, servers_per_host=900)
    reading = ApiReading(cloud, Cloud().clock)
    servers = [str(one["id"]) for one in reading.every("compute", "/servers/detail?all_tenants=1", "servers")]
    assert len(servers) == len(set(servers)) == 2700
    mine = list(reading.every("compute", "/servers/detail?all_tenants=1&host=c02", "servers"))
    assert {one["OS-EXT-SRV-ATTR:host"] for one in mine} == {"c02"}
    assert len(mine) == 900


def test_an_older_cloud_has_fewer_microversions() -> None:
    """A request for one that it has not is refused with 406."""
    cloud = Cloud(1, versions={"compute": ((2, 1), (2, 79))})
    assert cloud.versions("compute") == ((2, 1), (2, 79))
    assert cloud.send(Request(service="compute", method="GET", path="/servers", microversion="2.80")).status == 406
    assert cloud.versions("network") is None
    with pytest.raises(UnsentError):
        cloud.versions("key-manager")


def test_a_host_that_dies_is_up_for_a_minute_and_its_servers_stay() -> None:
    """Nova goes by heartbeats; the servers keep their states until a nova-compute finds them off."""
    cloud = Cloud(1, hosts=3, servers_per_host=2)
    host = cloud.world.hosts["c02"]
    cloud.world.stop(host, machine=True)
    path = "/os-services?host=c02&binary=nova-compute"

    def state() -> str:
        answer = cloud.send(Request(service="compute", method="GET", path=path, microversion="2.53"))
        return str(answer.body["services"][0]["state"])

    assert state() == "up"
    cloud.clock.sleep(61)
    assert state() == "down"
    assert {server.vm_state for server in host.servers.values()} == {"active"}
    cloud.world.start(host)
    assert state() == "up"
    assert {server.vm_state for server in host.servers.values()} == {"active"}
    cloud.clock.sleep(90)
    assert {server.vm_state for server in host.servers.values()} == {"stopped"}
    assert invariants(cloud) == []
