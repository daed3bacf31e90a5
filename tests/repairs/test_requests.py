# SPDX-License-Identifier: Apache-2.0
"""What operators ask for by name: done as the catalogue says on a healthy object, taken back to the byte, else refused.

All of it through the command line, as it is typed. The refusals for volumes are in test_volumes.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.plants._networks import port_of, vifs, write
from stackmend_lab.plants._servers import neighbour
from stackmend_lab.plants._volumes import attach, attached, busy, new_volume

from ..support.requests import Desk

NOBODY = "00000000-0000-4000-8000-00000000dead"
Row = dict[str, Any]


def wish_rebuild(desk: Desk) -> tuple[str, ...]:
    """A cache whose label is an old one."""
    server = desk.cloud.pick("multi_nic")
    found = vifs(desk.cloud, server)
    found[0]["network"]["label"] = "renamed since"
    write(desk.cloud, server, json.dumps(found))
    return "server", "cache", "rebuild", server.uuid


def wish_keep(desk: Desk) -> tuple[str, ...]:
    """A port that would die with its server."""
    return "port", "keep", desk.cloud.pick("active").ports[0]


def wish_release(desk: Desk) -> tuple[str, ...]:
    """A port that would be left behind."""
    return "port", "release", desk.cloud.pick("premade_port").ports[0]


def wish_mark_deleted(desk: Desk) -> tuple[str, ...]:
    """A server that is gone."""
    server = desk.cloud.pick("volume_backed")
    return "server", "mark-deleted", server.uuid, "--overrule", str(server.host)


def wish_purge(desk: Desk) -> tuple[str, ...]:
    """A server that was deleted long ago."""
    return "server", "purge", desk.cloud.pick("deleted").uuid


def wish_set_host(desk: Desk) -> tuple[str, ...]:
    """A server that is on its neighbour's host."""
    server = desk.cloud.pick("active")
    return (
        "server",
        "set-host",
        server.uuid,
        "--overrule",
        str(server.host),
        "--host",
        neighbour(desk.cloud, server)["host"],
    )


def wish_detach(desk: Desk) -> tuple[str, ...]:
    """A volume that no guest has."""
    return "volume", "detach", attached(desk.cloud)[1]


def wish_mark_volume_deleted(desk: Desk) -> tuple[str, ...]:
    """A volume whose data is gone."""
    return "volume", "mark-deleted", new_volume(desk.cloud, desk.cloud.pick("active").project_id, status="error")


WISHES = (
    wish_rebuild,
    wish_keep,
    wish_release,
    wish_mark_deleted,
    wish_purge,
    wish_set_host,
    wish_detach,
    wish_mark_volume_deleted,
)
each_wish = pytest.mark.parametrize("wish", WISHES, ids=lambda wish: wish.__name__.removeprefix("wish_"))


@each_wish
def test_a_wish_is_shown_before_it_is_granted(desk: Desk, wish: Callable[[Desk], tuple[str, ...]]) -> None:
    """Without --yes nothing is changed, exit 3; without --allow-db it is refused with a hint, exit 5."""
    words = wish(desk)
    before = desk.cloud.dump()
    code, out, _ = desk.type(*words, "--allow-db")
    assert code == Exit.FINDINGS
    assert words[-1] in out or words[2] in out
    code, _, err = desk.type(*words)
    assert code == Exit.STOPPED
    assert "--allow-db" in err
    assert desk.cloud.dump() == before


@each_wish
def test_a_wish_that_was_granted_can_be_taken_back(desk: Desk, wish: Callable[[Desk], tuple[str, ...]]) -> None:
    """Applied, it changes rows; asked for again it has nothing to do; undo gives the bytes back."""
    words = wish(desk)
    planted = desk.cloud.dump()
    run = desk.done(*words)
    granted = desk.cloud.dump()
    assert granted != planted
    code, out, err = desk.type(*words, "--allow-db", "--yes", "--accept", "all")
    gone = words[:2] == ("server", "purge")  # nothing tells its id from a typing error any more
    assert code == (Exit.USAGE if gone else Exit.CLEAN), err
    assert (
        any(why in err for why in ("there is nothing to do", "is already deleted", "is not marked deleted")) is not gone
    )
    assert ("there is no server" in err) is gone
    assert "not repaired" not in out
    assert desk.cloud.dump() == granted
    assert desk.type("run", "undo", run, "--yes")[0] == Exit.CLEAN
    assert desk.cloud.dump() == planted


@pytest.mark.parametrize("wish", [wish_release, wish_mark_deleted, wish_purge, wish_set_host, wish_detach])
def test_what_may_lose_something_wants_consent_by_name(desk: Desk, wish: Callable[[Desk], tuple[str, ...]]) -> None:
    """--yes is not enough: exit 2, and the name of the repair to accept."""
    words = wish(desk)
    before = desk.cloud.dump()
    code, _, err = desk.type(*words, "--allow-db", "--yes")
    assert code == Exit.USAGE
    assert "--accept" in err
    assert desk.cloud.dump() == before


@each_wish
def test_an_object_that_does_not_exist(desk: Desk, wish: Callable[[Desk], tuple[str, ...]]) -> None:
    """It is named, nothing is changed."""
    words = list(wish(desk))
    number = next(n for n, word in enumerate(words) if len(word) == 36)
    words[number] = NOBODY
    planted = desk.cloud.dump()
    code, _, message = desk.type(*words, "--allow-db", "--yes", "--accept", "all")
    assert (code, f"'{NOBODY}'" in message) == (Exit.USAGE, True), message
    assert desk.cloud.dump() == planted


def test_a_flag_is_set_and_nothing_else(desk: Desk) -> None:
    """Of several VIFs that one member changes; keep and release are each other's opposite."""
    server = desk.cloud.pick("multi_nic")
    before = vifs(desk.cloud, server)
    port = next(vif["id"] for vif in before if not vif["preserve_on_delete"])
    desk.done("port", "keep", port)
    after = vifs(desk.cloud, server)
    expected = [{**vif, "preserve_on_delete": True} if vif["id"] == port else vif for vif in before]
    assert after == expected
    desk.done("port", "release", port)
    assert vifs(desk.cloud, server) == before


def test_a_server_is_marked_deleted_whole(desk: Desk) -> None:
    """Row and children get their own ids as marks, the mapping is queued, the allocation goes; others keep theirs."""
    server = desk.cloud.pick("volume_backed")
    desk.cloud.insert(server.database, "tags", resource_id=server.uuid, tag="t")
    desk.cloud.insert(server.database, "instance_id_mappings", uuid=server.uuid, deleted=0)
    others = desk.rows(server.database, "instances", deleted=0)
    desk.done("server", "mark-deleted", server.uuid, "--overrule", str(server.host))
    row = desk.server(server)
    assert (row["deleted"], row["vm_state"], row["task_state"], row["cleaned"]) == (row["id"], "deleted", None, 0)
    assert row["deleted_at"] == row["terminated_at"] is not None
    for table in ("block_device_mapping", "instance_extra", "instance_info_caches", "instance_system_metadata"):
        marked = desk.rows(server.database, table, instance_uuid=server.uuid)
        assert marked
        assert {child["deleted"] == child["id"] for child in marked} == {True}
    (number,) = desk.rows(server.database, "instance_id_mappings", uuid=server.uuid)
    assert number["deleted"] == number["id"]
    assert desk.rows(server.database, "tags", resource_id=server.uuid) == []
    actions = desk.rows(server.database, "instance_actions", instance_uuid=server.uuid, action="stackmend-delete")
    assert len(actions) == 1
    assert desk.row("nova_api", "instance_mappings", instance_uuid=server.uuid)["queued_for_delete"] == 1
    assert desk.rows("placement", "allocations", consumer_id=server.uuid) == []
    assert desk.rows("placement", "consumers", uuid=server.uuid) == []
    assert len(desk.rows(server.database, "instances", deleted=0)) == len(others) - 1
    assert desk.rows("neutron", "ports", device_id=server.uuid)


def test_cleaned_says_that_its_files_are_gone(desk: Desk) -> None:
    """With --cleaned its host is not told to remove anything (rule RW9)."""
    server = desk.cloud.pick("stopped")
    desk.done("server", "mark-deleted", server.uuid, "--cleaned", "--overrule", str(server.host))
    assert desk.server(server)["cleaned"] == 1


def test_a_purge_leaves_no_row(desk: Desk) -> None:
    """Not one row of that server is left in Nova's databases, and all others are there still."""
    server = desk.cloud.pick("deleted")
    before = desk.cloud.dump()
    assert any(server.uuid in row for (db, _), rows in before.items() if db.startswith("cell:") for row in rows)
    desk.done("server", "purge", server.uuid)
    after = desk.cloud.dump()
    left = [key for key, rows in after.items() if key[0] != "neutron" and any(server.uuid in row for row in rows)]
    assert left == []
    lost = {key: set(rows) - set(after.get(key, ())) for key, rows in before.items()}
    assert {key[0] for key, rows in lost.items() if rows} <= {server.database, "nova_api"}
    assert len(lost[server.database, "instances"]) == 1


def test_a_server_goes_with_its_claims(desk: Desk) -> None:
    """Host, node and compute id; the allocation is the new host's provider's; the ports are bound there."""
    server = desk.cloud.pick("multi_nic")
    node = neighbour(desk.cloud, server)
    held = desk.rows("placement", "allocations", consumer_id=server.uuid)
    words = ("server", "set-host", server.uuid, "--host", node["host"])
    assert f"--overrule {server.host}" in desk.refused(*words)
    assert "--overrule" in desk.refused(*words, "--overrule", node["host"])
    assert "there is no host 'another'" in desk.type(*words, "--overrule", "another")[2]
    desk.done(*words, "--overrule", str(server.host))
    row = desk.server(server)
    assert (row["host"], row["node"], row["compute_id"]) == (node["host"], node["hypervisor_hostname"], node["id"])
    moved = desk.rows("placement", "allocations", consumer_id=server.uuid)
    root = desk.row("placement", "resource_providers", uuid=node["uuid"])["id"]
    assert {a["resource_provider_id"] for a in moved} == {root}
    assert sorted((a["resource_class_id"], a["used"]) for a in moved) == sorted(
        (a["resource_class_id"], a["used"]) for a in held
    )
    for port in server.ports:
        assert desk.row("neutron", "ml2_port_bindings", port_id=port, status="ACTIVE")["host"] == node["host"]


def test_a_server_whose_host_is_set_keeps_no_binding_of_the_move(desk: Desk) -> None:
    """A live migration that got as far as Neutron has left an inactive binding: it goes, and undo puts it back."""
    server = desk.cloud.pick("active")
    (node, port) = (neighbour(desk.cloud, server), server.ports[0])
    (binding, level) = ("ml2_port_bindings", "ml2_port_binding_levels")
    old = {"port_id": port, "host": server.host}
    was = desk.row("neutron", binding, **old)
    desk.cloud.update("neutron", binding, {"port_id": port, "host": server.host}, status="INACTIVE")
    desk.cloud.insert("neutron", binding, **{**was, "host": node["host"], "status": "ACTIVE"})
    before = desk.cloud.dump()
    run = desk.done("server", "set-host", server.uuid, "--host", node["host"], "--overrule", str(server.host))
    left = desk.rows("neutron", binding, port_id=port)
    assert [(row["host"], row["status"]) for row in left] == [(node["host"], "ACTIVE")]
    assert desk.rows("neutron", level, **old) == []
    assert desk.type("run", "undo", run, "--yes")[0] == Exit.CLEAN
    assert desk.cloud.dump() == before


@pytest.mark.parametrize("kind", ["resized", "live_migrating", "rebooting"])
def test_a_server_with_something_going_on_is_left_alone(desk: Desk, kind: str) -> None:
    """A resize to be confirmed, a live migration, a reboot: neither cache nor host nor life is touched."""
    server = desk.cloud.pick(kind)
    host = neighbour(desk.cloud, server)["host"]
    write(desk.cloud, server, "[]")
    for words in (("cache", "rebuild", server.uuid), ("mark-deleted", server.uuid)):
        message = desk.refused("server", *words)
        assert "busy" in message or "migration in progress" in message
    message = desk.refused("server", "set-host", server.uuid, "--host", host)
    assert "busy" in message or "migration in progress" in message


def test_the_ports_of_a_busy_server_are_left_alone(desk: Desk) -> None:
    """Their flags are read by what is going on."""
    server = desk.cloud.pick("resized")
    port = server.ports[0]
    flag = "release" if vifs(desk.cloud, server)[0]["preserve_on_delete"] else "keep"
    assert "migration in progress" in desk.refused("port", flag, port)


def test_a_server_that_lives_is_not_purged(desk: Desk) -> None:
    """Neither a live one, nor one that can be restored, nor one that was deleted just now."""
    for kind in ("active", "soft_deleted", "shelved_offloaded"):
        assert "not deleted" in desk.refused("server", "purge", desk.cloud.pick(kind).uuid)
    server = desk.cloud.pick("deleted")
    desk.cloud.update(server.database, "instances", {"uuid": server.uuid}, deleted_at=desk.cloud.ago(3600))
    assert "less than a day" in desk.refused("server", "purge", server.uuid)


def test_a_server_that_still_holds_something_is_not_purged(desk: Desk) -> None:
    """A port, an attachment or an allocation would lose its owner."""
    deleted, alive = desk.cloud.pick("deleted"), desk.cloud.pick("active")
    desk.cloud.update("neutron", "ports", {"id": alive.ports[0]}, device_id=deleted.uuid)
    assert "neutron.ports" in desk.refused("server", "purge", deleted.uuid)


def test_a_deleted_server_has_no_cache_and_no_host(desk: Desk) -> None:
    """What is deleted is not rebuilt, moved or deleted again."""
    server = desk.cloud.pick("deleted")
    for words in (("cache", "rebuild", server.uuid), ("set-host", server.uuid, "--host", "c0001")):
        assert "no cell has a live server" in desk.refused("server", *words)
    code, _, err = desk.type("server", "mark-deleted", server.uuid, "--yes")
    assert (code, f"server {server.uuid} is already deleted" in err) == (Exit.CLEAN, True)


def test_a_host_must_be_a_host(desk: Desk) -> None:
    """Unknown, of another cell, or without a service: refused by name."""
    server = desk.cloud.pick("active")
    code, _, err = desk.type("server", "set-host", server.uuid, "--host", "nowhere", "--allow-db")
    assert (code, "there is no host 'nowhere'" in err) == (Exit.USAGE, True)
    other = next(s for s in desk.cloud.servers("active") if s.cell != server.cell)
    assert other.host
    assert other.host in desk.refused("server", "set-host", server.uuid, "--host", other.host)
    node = neighbour(desk.cloud, server)
    desk.cloud.update(server.database, "services", {"host": node["host"]}, deleted=1)
    assert "no nova-compute service" in desk.refused("server", "set-host", server.uuid, "--host", node["host"])


def test_of_several_nodes_one_must_be_named(desk: Desk) -> None:
    """A baremetal host has many: without --node it is not known which."""
    server = next(s for s in desk.cloud.servers("active") if s.cell == "cell1")
    assert "name the node with --node NODE" in desk.refused("server", "set-host", server.uuid, "--host", "ir0001")


def test_ports_that_are_no_server_s(desk: Desk) -> None:
    """A router's, a DHCP agent's, and one that the cache does not list."""
    server = desk.cloud.pick("active")
    network = port_of(desk.cloud, server.ports[0])["network_id"]
    for owner in ("network:dhcp", "network:router_interface"):
        port = desk.rows("neutron", "ports", network_id=network, device_owner=owner)[0]["id"]
        assert "does not belong to a server" in desk.refused("port", "keep", port)
    write(desk.cloud, server, "[]")
    assert "rebuild it first" in desk.refused("port", "keep", server.ports[0])


def test_an_unbound_port_of_an_active_server(desk: Desk) -> None:
    """Written down, a failed binding sets the server to ERROR at the next start of its host."""
    server = desk.cloud.pick("active")
    write(desk.cloud, server, "[]")
    desk.cloud.update("neutron", "ml2_port_bindings", {"port_id": server.ports[0]}, vif_type="binding_failed")
    assert "not bound" in desk.refused("server", "cache", "rebuild", server.uuid)


def test_a_shelved_server_can_have_its_cache_back(desk: Desk) -> None:
    """Its ports are unbound, and rightly so (G-OFFLOAD)."""
    server = desk.cloud.pick("shelved_offloaded")
    before = vifs(desk.cloud, server)
    write(desk.cloud, server, "[]")
    desk.done("server", "cache", "rebuild", server.uuid)
    assert [vif["id"] for vif in vifs(desk.cloud, server)] == [vif["id"] for vif in before]


def test_of_several_servers_one_must_be_named(desk: Desk) -> None:
    """A multi-attached volume: which server is to let go of it? With --server that one does, and no other."""
    cloud = desk.cloud
    server, volume, attachment, _ = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, multiattach=1)
    other, _ = attach(cloud, cloud.pick("active"), volume)
    assert "name one" in desk.refused("volume", "detach", volume)
    desk.done("volume", "detach", volume, "--server", server.uuid)
    assert desk.row("cinder", "volume_attachment", id=attachment)["deleted"] == 1
    assert desk.row("cinder", "volume_attachment", id=other)["deleted"] == 0


def test_a_volume_of_a_busy_server(desk: Desk) -> None:
    """Something is being done with the server."""
    server, volume, _, _ = attached(desk.cloud)
    busy(desk.cloud, server, "rebooting")
    assert "busy" in desk.refused("volume", "detach", volume)


def test_a_volume_in_use_is_not_marked_deleted(desk: Desk) -> None:
    """Somebody has it."""
    assert "in-use" in desk.refused("volume", "mark-deleted", attached(desk.cloud)[1])


@pytest.mark.parametrize(
    "words",
    [
        ("server", "set-host", NOBODY),
        ("server", "purge"),
        ("port", "keep"),
        ("volume", "detach", NOBODY, "--server"),
        ("server", "mark-deleted", NOBODY, "--yes", "--out", "plan.json", "--allow-db"),
        ("server", "purge", NOBODY, "--via", "db"),
    ],
    ids=" ".join,
)
def test_half_a_wish_is_a_mistake(desk: Desk, words: tuple[str, ...]) -> None:
    """Something is missing or contradicts itself: exit 2, with a word why."""
    code, _, err = desk.type(*words)
    assert code == Exit.USAGE
    assert err.strip()
