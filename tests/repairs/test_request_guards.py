# SPDX-License-Identifier: Apache-2.0
"""A request has the guards of what a finding leads to, with the witnesses of both services (docs/adr/0030)."""

from __future__ import annotations

import json

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.plants._networks import write
from stackmend_lab.plants._servers import neighbour
from stackmend_lab.plants._volumes import attached

from ..support.requests import Desk


@pytest.mark.attack("asks by name for the deletion of a server whose guest, ports or volumes live")
def test_a_server_whose_guest_may_live_is_not_marked_deleted(desk: Desk) -> None:
    """Each service's word alone is enough; two hosts are for a human; the host that is named must be that one."""
    cloud, words = desk.cloud, ("server", "mark-deleted")
    running = cloud.pick("no_nic")
    assert "Nova shows it running" in desk.refused(*words, running.uuid)
    assert "--overrule" in desk.refused(*words, running.uuid, "--overrule", neighbour(cloud, running)["host"])
    server, volume, _, _ = attached(cloud)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, power_state=4)
    for port in server.ports:
        cloud.update("neutron", "ports", {"id": port}, status="DOWN")
    assert f"volume {volume} is attached" in desk.refused(*words, server.uuid)
    # and where SQL has cut the server from its host
    cloud.update(server.database, "instances", {"uuid": server.uuid}, host=None, node=None)
    assert f"--overrule {server.host}" in desk.refused(*words, server.uuid)
    stopped = next(s for s in cloud.servers("stopped") if not s.volumes)
    assert "is ACTIVE on" in desk.refused(*words, stopped.uuid)
    other = neighbour(cloud, stopped)["host"]
    cloud.update("neutron", "ml2_port_bindings", {"port_id": stopped.ports[0], "status": "ACTIVE"}, host=other)
    cloud.update(stopped.database, "instances", {"uuid": stopped.uuid}, power_state=1)
    assert "server where" in desk.refused(*words, stopped.uuid, "--overrule", str(stopped.host))


@pytest.mark.attack("purges a server whose row is lost, or that is being built")
def test_a_server_that_is_lost_or_not_yet_there_is_not_purged(desk: Desk) -> None:
    """Without a row in its cell nova_api tells: a living server, and one that is is being built, stay."""
    lost = desk.cloud.pick("active")
    desk.cloud.delete(lost.database, "instances", {"uuid": lost.uuid})
    assert "the row is lost, not the server" in desk.refused("server", "purge", lost.uuid)
    desk.cloud.update("nova_api", "instance_mappings", {"instance_uuid": lost.uuid}, queued_for_delete=1)
    assert "still has rows of" in desk.refused("server", "purge", lost.uuid)
    assert "is being built" in desk.refused("server", "purge", desk.cloud.pick("unscheduled").uuid)


def test_what_purge_looked_at_is_looked_at_again_when_it_writes(desk: Desk) -> None:
    """A port that the server has got since the plan was made stops the purge."""
    server, port = desk.cloud.pick("deleted"), desk.cloud.pick("active").ports[0]
    plan = str(desk.toml.parent / "purge.json")
    desk.type("server", "purge", server.uuid, "--allow-db", "--out", plan)
    desk.cloud.update("neutron", "ports", {"id": port}, device_id=server.uuid)
    before = desk.cloud.dump()
    code, out, _ = desk.type("plan", "apply", plan, "--yes", "--accept", "all", "-f", "json")
    assert code == Exit.STOPPED
    assert json.loads(out)["stale"] == 1
    assert desk.cloud.dump() == before


@pytest.mark.attack("asks by name for what checks leave alone: somebody asked Nova for something a minute ago")
def test_what_was_asked_for_just_now_is_waited_for(desk: Desk) -> None:
    """No row of the server says that it is busy, its record of actions does."""
    server = desk.cloud.pick("premade_port")
    write(desk.cloud, server, "[]")
    action = desk.cloud.insert(
        server.database, "instance_actions", instance_uuid=server.uuid, action="detach_interface",
        request_id="req-7", start_time=desk.cloud.ago(60), created_at=desk.cloud.ago(60), deleted=0,
    )  # fmt: skip
    node = neighbour(desk.cloud, server)["host"]
    requests = (
        ("cache", "rebuild", server.uuid),
        ("mark-deleted", server.uuid, "--overrule", str(server.host)),
        ("set-host", server.uuid, "--host", node, "--overrule", str(server.host)),
    )
    for words in requests:
        assert "detach_interface was requested" in desk.refused("server", *words)
    desk.cloud.update(server.database, "instance_actions", {"id": action}, start_time=desk.cloud.ago(3000))
    desk.cloud.insert(
        server.database, "instance_actions_events", action_id=action, event="compute_detach_interface",
        start_time=desk.cloud.ago(3000), created_at=desk.cloud.ago(3000), deleted=0,
    )  # fmt: skip
    for words in requests:
        assert "compute_detach_interface began" in desk.refused("server", *words)


@pytest.mark.attack("releases a port of another project, which its server's deletion would take")
def test_a_port_of_somebody_else_is_not_released(desk: Desk) -> None:
    """Its server is another project's; of one's own the plan says who made it, and a server's action is waited for."""
    port = desk.cloud.pick("premade_port").ports[0]
    _, out, _ = desk.type("port", "release", port, "--allow-db", "-f", "json")
    assert "before the server" in " ".join(json.loads(out)["actions"][0]["evidence"])
    desk.cloud.update("neutron", "ports", {"id": port}, project_id="0" * 32)
    assert "is in project" in desk.refused("port", "release", port)


def test_only_a_server_with_a_guest_is_on_a_host(desk: Desk) -> None:
    """Neither an offloaded one nor one whose build was given up."""
    server = desk.cloud.pick("shelved_offloaded")
    host = neighbour(desk.cloud, server)["host"]
    assert "no guest" in desk.refused("server", "set-host", server.uuid, "--host", host)


def test_what_does_not_live_is_not_revived(desk: Desk) -> None:
    """A server that Nova deleted, and the hidden half of one that went to another cell."""
    assert "no record shows server" in desk.refused("server", "revive", desk.cloud.pick("deleted").uuid)
    moved = desk.cloud.pick("cross_cell")
    assert "live in more than one cell" in desk.refused("server", "revive", moved.uuid)
