# SPDX-License-Identifier: Apache-2.0
"""Where a server is, as operators meet it: words, amounts, two plans in a row, a healthy guest that is taken."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Server
from stackmend_lab.plants._hosts import new_host
from stackmend_lab.plants._servers import alone, neighbour, touch
from stackmend_lab.plants.nova import server_on_nonexistent_host, server_wrong_host
from stackmend_lab.plants.placement import allocation_wrong_provider

from ..support.requests import Desk

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "where.json").read_text())
AMOUNTS = {"VCPU": "vcpus", "MEMORY_MB": "memory_mb", "DISK_GB": "root_gb"}


def where(desk: Desk, server: str) -> tuple[int, dict[str, Any]]:
    """What ``server where`` answers, conforming to its schema."""
    code, out, err = desk.type("server", "where", server, "-f", "json")
    assert out, err
    found: dict[str, Any] = json.loads(out)
    jsonschema.validate(found, SCHEMA)
    return code, found


def planned(desk: Desk, server: str) -> list[dict[str, Any]]:
    """The actions of a plan for one server; what is not repaired has no steps."""
    _, out, err = desk.type("plan", "create", "--server", server, "--allow-db", "-f", "json")
    plan = json.loads(out)
    assert plan["incomplete"] == {}, err
    return [*plan["actions"], *plan["not_repaired"]]


def mend(desk: Desk, server: str, file: Path) -> None:
    """Make a plan for one server and apply it."""
    assert desk.type("plan", "create", "--server", server, "--allow-db", "--out", str(file))[0] == Exit.FINDINGS
    code, _, err = desk.type("plan", "apply", str(file), "--yes", "--accept", "all")
    assert code == Exit.REPAIRED, err


def place(desk: Desk, server: Server) -> tuple[Any, ...]:
    """Host, node and compute_id of its row."""
    row = desk.server(server)
    return row["host"], row["node"], row["compute_id"]


def test_a_healthy_server_is_certainly_where_it_is(desk: Desk) -> None:
    """Exit 0, every witness agrees, and the text says each of them in a sentence."""
    server = desk.cloud.pick("volume_backed")
    code, found = where(desk, server.uuid)
    assert code == Exit.CLEAN
    assert (found["confidence"], found["found"]["host"]) == ("certain", server.host)
    assert {w["name"]: w["agrees"] for w in found["witnesses"]} == dict.fromkeys(
        ("host", "node", "compute_id", "bindings", "allocation", "attachments", "history"), True
    )
    text = desk.type("server", "where", server.uuid)[1]
    assert f"Neutron has its ports active on {server.host}." in text
    assert text.startswith(f"It is certainly on {server.host}.")


def test_a_row_stands_against_neutron_and_placement_alone(desk: Desk) -> None:
    """Whichever server somebody moved by SQL: two records do not outweigh the row, so none of them is moved back."""
    taken = []
    with suppress(LookupError):  # no more servers
        while True:
            taken.append(server_wrong_host.all_three_columns(desk.cloud)["server"])
    assert len(taken) > 10
    assert {where(desk, server)[1]["confidence"] for server in taken} == {"tie"}


def test_an_unknown_server_is_an_error(desk: Desk) -> None:
    """A name, or an id that is none: usage, with a hint."""
    code, _, err = desk.type("server", "where", "web-1")
    assert code == Exit.USAGE
    assert "there is no server 'web-1'" in err


@pytest.mark.parametrize("kind", ["resized", "live_migrating", "building", "rebooting"])
def test_nothing_is_said_of_a_server_that_moves(desk: Desk, kind: str) -> None:
    """A resize, a live migration, a build, a reboot."""
    code, found = where(desk, desk.cloud.pick(kind).uuid)
    assert code == Exit.FINDINGS
    assert (found["confidence"], found["found"]) == ("moving", None)
    assert found["reason"]


def test_one_host_column_of_a_living_host_goes_back(desk: Desk, tmp_path: Path) -> None:
    """Node, compute_id, ports and capacity say the old one: the host is what is wrong; a second plan is empty."""
    server = desk.cloud.pick("active")
    before = place(desk, server)
    desk.cloud.update(server.database, "instances", {"uuid": server.uuid}, host=neighbour(desk.cloud, server)["host"])
    (action,) = planned(desk, server.uuid)
    (line,) = [line for line in action["evidence"] if "has it on host" in line]
    assert "(overruled)" in line or "(explained: " in line  # by the move that its history may happen to have
    mend(desk, server.uuid, tmp_path / "plan.json")
    assert place(desk, server) == before
    assert planned(desk, server.uuid) == []


def test_servers_of_a_dead_host_whose_host_was_set_by_sql(desk: Desk, tmp_path: Path) -> None:
    """Nothing is planned but by name: then host, node, compute_id, ports and capacity go; no plan undoes it."""
    server = desk.cloud.pick("active")
    node = neighbour(desk.cloud, server)
    old = alone(desk.cloud, server, silent=True)
    desk.cloud.update(server.database, "instances", {"uuid": server.uuid}, host=node["host"])
    (left,) = planned(desk, server.uuid)
    assert "steps" not in left
    assert f"stackmend server set-host {server.uuid} --host" in left["reason"]
    assert old in left["reason"]
    desk.done("server", "set-host", server.uuid, "--host", node["host"])
    assert place(desk, server) == (node["host"], node["hypervisor_hostname"], node["id"])
    held = desk.rows("placement", "allocations", consumer_id=server.uuid)
    assert {row["resource_provider_id"] for row in held} == {
        desk.row("placement", "resource_providers", uuid=node["uuid"])["id"]
    }
    assert desk.row("neutron", "ml2_port_bindings", port_id=server.ports[0])["host"] == node["host"]
    # until something is done with its guest there, that is all that tells it: a finding, which no plan mends
    assert {left["check"] for left in planned(desk, server.uuid)} == {"server-host-unproved"}
    assert desk.server(server)["host"] == node["host"]


def test_heartbeats_that_are_all_ahead_show_who_is_dead(desk: Desk) -> None:
    """The clock that they are compared with is the one that is behind."""
    server = desk.cloud.pick("active")
    node = neighbour(desk.cloud, server)
    dead = alone(desk.cloud, server, silent=True)
    living = {"binary": "nova-compute", "deleted": 0}
    for row in desk.cloud.rows(server.database, "SELECT host FROM services WHERE host <> :h", {"h": dead}):
        desk.cloud.update(
            server.database, "services", {**living, "host": row["host"]}, last_seen_up=desk.cloud.ago(-600)
        )
    desk.cloud.update(server.database, "instances", {"uuid": server.uuid}, host=node["host"])
    (left,) = planned(desk, server.uuid)
    assert "steps" not in left
    assert "whether the host was set on purpose" in left["reason"]


def test_a_clock_that_is_ahead_makes_no_living_host_dead(desk: Desk) -> None:
    """A dead host is one silent for long while others are not: heartbeats of the next hour show nothing of that."""
    server = desk.cloud.pick("active")
    node, ahead = neighbour(desk.cloud, server), new_host(desk.cloud, server.cell)
    alone(desk.cloud, server, silent=True)
    desk.cloud.update(ahead.database, "services", {"host": ahead.name}, last_seen_up=desk.cloud.ago(-1800))
    desk.cloud.update(server.database, "instances", {"uuid": server.uuid}, host=node["host"])
    (left,) = planned(desk, server.uuid)
    assert "steps" not in left
    assert "whether the host was set on purpose" in left["reason"]


@pytest.mark.parametrize("variant", ["end_lost", "source_died"])
def test_a_task_state_that_nothing_is_behind_is_not_busy(desk: Desk, variant: str) -> None:
    """One request sets host, node, compute_id and task state, settles the migration and gives back what it held."""
    key = getattr(server_wrong_host, variant)(desk.cloud)
    server = next(s for s in desk.cloud.servers() if s.uuid == key["server"])
    node = neighbour(desk.cloud, server)
    code, found = where(desk, server.uuid)
    assert (code, found["found"]["host"]) == (Exit.FINDINGS, node["host"])
    assert any(w["name"] == "host" and w["explained"] for w in found["witnesses"])
    desk.done("server", "set-host", server.uuid, "--host", node["host"])
    row = desk.server(server)
    assert (row["task_state"], row["progress"], row["vm_state"]) == (None, 0, "active")
    assert place(desk, server) == (node["host"], node["hypervisor_hostname"], node["id"])
    move = max(desk.rows(server.database, "migrations", instance_uuid=server.uuid), key=lambda row: row["id"])
    assert move["status"] == "completed"
    assert desk.rows("placement", "allocations", consumer_id=move["uuid"]) == []
    assert desk.type("audit", "--server", server.uuid)[0] == Exit.CLEAN


def test_a_young_task_state_is_busy(desk: Desk) -> None:
    """An hour after the end of a migration somebody may still be at work."""
    server_wrong_host.just_ended(desk.cloud)
    (server,) = [s for s in desk.cloud.servers() if desk.rows(s.database, "instances", uuid=s.uuid, progress=0)
                 and desk.rows(s.database, "migrations", instance_uuid=s.uuid, status="completed")
                 and desk.server(s)["task_state"] == "migrating"]  # fmt: skip
    words = ("server", "set-host", server.uuid, "--host", neighbour(desk.cloud, server)["host"])
    assert "busy" in desk.refused(*words, "--overrule", str(server.host))


def test_capacity_is_moved_with_the_amounts_of_the_flavor(desk: Desk, tmp_path: Path) -> None:
    """One core, 512 MB and a gigabyte were booked elsewhere: the server's own host is charged what it has."""
    key = allocation_wrong_provider.other_amounts(desk.cloud)
    server = next(s for s in desk.cloud.servers() if s.uuid == key["server"])
    mend(desk, server.uuid, tmp_path / "plan.json")
    row = desk.server(server)
    flavor = json.loads(desk.row(server.database, "instance_extra", instance_uuid=server.uuid)["flavor"])
    data = flavor["cur"]["nova_object.data"]
    disk = row["root_gb"] + row["ephemeral_gb"] + -(-data["swap"] // 1024)
    names = {r["id"]: r["name"] for r in desk.cloud.rows("placement", "SELECT id, name FROM resource_classes")}
    held = desk.rows("placement", "allocations", consumer_id=server.uuid)
    assert {names[one["resource_class_id"]]: one["used"] for one in held} == {
        "VCPU": row["vcpus"], "MEMORY_MB": row["memory_mb"], "DISK_GB": disk,
    }  # fmt: skip
    node = desk.row(server.database, "compute_nodes", host=server.host)
    root = desk.row("placement", "resource_providers", uuid=node["uuid"])["id"]
    assert {one["resource_provider_id"] for one in held} == {root}


def test_capacity_is_left_where_row_and_flavor_disagree(desk: Desk) -> None:
    """A resize that ended half way: which of the two the server has nobody can tell from rows."""
    key = allocation_wrong_provider.plant(desk.cloud)
    server = next(s for s in desk.cloud.servers() if s.uuid == key["server"])
    desk.cloud.update(server.database, "instances", {"uuid": server.uuid}, vcpus=16)
    (left,) = planned(desk, server.uuid)
    assert "its row has vcpus 16" in left["reason"]


@pytest.mark.parametrize(("result", "said"), [("Success", "succeeded"), (None, "has not ended")])
def test_an_unshelve_that_may_have_brought_a_guest_keeps_its_capacity(
    desk: Desk, result: str | None, said: str
) -> None:  # fmt: skip
    """The allocation may be the only record of where the guest is."""
    key = allocation_wrong_provider.offloaded(desk.cloud)
    server = next(s for s in desk.cloud.servers() if s.uuid == key["server"])
    event = {"event": "compute_unshelve_instance", "host": neighbour(desk.cloud, server)["host"]}
    desk.cloud.update(server.database, "instance_actions_events", event, result=result)
    (left,) = planned(desk, server.uuid)
    assert said in left["reason"]


@pytest.mark.attack("a baremetal server whose machine has no record is offered its neighbour's")
def test_a_machine_is_never_given_to_two(desk: Desk) -> None:
    """Neither by a finding nor where it is named."""
    key = server_on_nonexistent_host.machine_purged(desk.cloud)
    server = next(s for s in desk.cloud.servers() if s.uuid == key["server"])
    other = next(s for s in desk.cloud.servers("ironic") if s.uuid != server.uuid)
    (left,) = planned(desk, server.uuid)
    assert "is the machine of server" in left["reason"]
    words = ("server", "set-host", server.uuid, "--host", "ir0001", "--node", str(other.node))
    assert other.uuid in desk.refused(*words)


@pytest.mark.attack("server set-host takes a healthy running guest of another host without any proof")
def test_a_healthy_guest_is_not_taken_without_its_host_being_named(desk: Desk) -> None:
    """Refused with every witness; with the host named it is done, and the plan shows what it overrules."""
    server = desk.cloud.pick("active")
    node = neighbour(desk.cloud, server)
    words = ("server", "set-host", server.uuid, "--host", node["host"])
    message = desk.refused(*words)
    for said in ("Nova's row has it on host", "Neutron has its ports active on", "Placement has its allocation on"):
        assert said in message
    _, out, _ = desk.type(*words, "--overrule", str(server.host), "--allow-db", "-f", "json")
    (action,) = json.loads(out)["actions"]
    assert any(f"on {server.host}" in line for line in action["evidence"])
    desk.done(*words, "--overrule", str(server.host))
    touch(desk.cloud, server)
    assert "server-host-unproved" in desk.type("audit", "--server", server.uuid)[1]
