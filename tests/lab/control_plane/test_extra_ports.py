# SPDX-License-Identifier: Apache-2.0
"""A port too many on a server: from the finding to its cause in the real logs, to the plan, to a whole server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.breaks._past import let_time_pass
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait, wait_server

from . import sdk_errors
from .proofs import Desk
from .using import Thing

CHECK = "extra-ports-on-server"
#: servers to build until the scheduler has chosen the bad host first
_TRIES = 6
_EVENTS = (
    "SELECT DISTINCT e.host FROM instance_actions_events e JOIN instance_actions a ON a.id = e.action_id"
    " WHERE a.instance_uuid = %s AND e.event = 'compute__do_build_and_run_instance'"
)


@pytest.fixture
def rescheduled(plane: Plane) -> Iterator[tuple[str, str]]:
    """A server whose build failed on one host and was sent on to another one, and the first host."""
    scene, made = Scene(plane, "extra"), list[str]()
    good, *bad = [host for host, cell in plane.layout.hosts.items() if cell == "cell1"]
    # a build is sent on within its cell only
    away = [one for one in scene.cloud.compute.services(binary="nova-compute") if one.host not in {good, *bad}]
    for service in away:
        scene.cloud.compute.disable_service(service)
    for host in bad:
        plane.lever(host, "spawn", "fail")
    try:
        for _ in range(_TRIES):
            made.append(create_server(scene.connection, scene.name(), [{"uuid": scene.network()}], "nova"))
            wait_server(scene.connection, made[-1])
            if tried := {row["host"] for row in scene.sql(scene.cell, _EVENTS, made[-1])} & set(bad):
                break
        else:
            pytest.fail(f"of {_TRIES} servers, none was sent on from {', '.join(bad)}")
    finally:
        for host in bad:
            plane.release(host, "spawn")
        for service in away:
            scene.cloud.compute.enable_service(service)
    yield made[-1], min(tried)
    for server in made:
        with suppress(sdk_errors.NotFoundException):
            scene.cloud.compute.delete_server(server)


def test_from_the_finding_to_a_server_that_is_whole(plane: Plane, tmp_path: Path, rescheduled: tuple[str, str]) -> None:
    """The finding leads to the server, the logs name the failed build, and the plan leaves the one real port."""
    server, bad = rescheduled
    scene, desk = Scene(plane, "extra"), Desk(plane, tmp_path)
    before = Thing(plane, {"server": server}).nics
    # what a build left that could not delete its port: the same call to Neutron as Nova's
    left = scene.own_port(name="", device_id=server, device_owner="compute:nova", binding_host_id=bad)
    let_time_pass(plane, servers=[server])

    found = [one for one in desk.audit(CHECK).values() if one["evidence"]["port"] == left]
    assert [one["evidence"]["server"] for one in found] == [server]
    logs = ("--logs", str(plane.folder / "log"))
    told = desk.run("diagnose", "server", server, *logs, "-f", "json", codes=(Exit.FINDINGS,))
    story: dict[str, Any] = json.loads(told)
    (cause,) = (one for one in story["causes"] if one["cause"] == "build-rescheduled")
    assert (bad in cause["statement"], "2 ports" in cause["statement"]) == (True, True)
    assert any(CHECK in remedy for remedy in cause["remedies"])

    result = desk.apply(desk.plan("extra", "api", found))
    assert (result["done"], result["failed"]) == (1, 0)
    wait(lambda: scene.cloud.network.find_port(left) is None, f"port {left} to be gone", 30)
    assert desk.audit(CHECK).keys().isdisjoint(one["fingerprint"] for one in found)
    thing = Thing(plane, {"server": server})
    assert thing.nics == before
    thing.whole()
    thing.delete()
