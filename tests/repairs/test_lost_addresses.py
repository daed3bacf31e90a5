# SPDX-License-Identifier: Apache-2.0
"""An address that no port has is kept for whoever may still use it, and freed when nobody does."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from stackmend_lab.cloud import Cloud, Server
from stackmend_lab.plants._networks import drop_port, ipam_of, vifs, write

from ..support.repair_stage import Stage, reasons


def lost(cloud: Cloud) -> tuple[Server, dict[str, Any]]:
    """A server whose only port was deleted by SQL, and the port's address."""
    server = cloud.pick("active")
    sql = "SELECT ip_address, subnet_id, network_id FROM ipallocations WHERE port_id = :p"
    while len(fixed := cloud.rows("neutron", sql, {"p": server.ports[0]})) > 1:
        server = cloud.pick("active")
    drop_port(cloud, server.ports[0], by_sql=True)
    return server, fixed[0]


def freed(stage: Stage, address: str) -> list[str]:
    """The repairs that would free the address."""
    return [action.repair for action in stage.plan("ipam-drift").runnable if action.key["address"] == address]


@pytest.mark.attack("gives the address of a guest whose port was deleted by SQL to somebody else")
def test_a_nic_of_which_only_novas_row_is_left_may_have_it(stage: Stage) -> None:
    """The cache is empty, too: as long as Nova's row of the NIC is live, the address may be its own."""
    server, fixed = lost(stage.cloud)
    write(stage.cloud, server, "[]")
    plan = stage.plan("ipam-drift")
    assert plan.runnable == ()
    assert f"server {server.uuid}" in reasons(plan)
    assert server.ports[0] in reasons(plan)
    stage.cloud.delete(server.database, "virtual_interfaces", {"instance_uuid": server.uuid})
    assert freed(stage, fixed["ip_address"]) == ["mend-ipam-allocation"]


@pytest.mark.parametrize(
    ("deleted", "queued", "kept"),
    [(False, 0, True), (True, 0, True), (True, 1, False), (None, 0, True)],
    ids=["living", "marked by SQL", "deleted by Nova", "row lost"],
)
def test_a_cache_counts_unless_its_server_is_surely_deleted(
    stage: Stage, deleted: bool | None, queued: int, kept: bool
) -> None:
    """A server's row that is lost, or marked deleted without nova_api knowing, proves no end of its guest."""
    server, fixed = lost(stage.cloud)
    if deleted is None:
        stage.cloud.delete(server.database, "instances", {"uuid": server.uuid})
    elif deleted:
        sql = "UPDATE instances SET deleted = id, deleted_at = updated_at WHERE uuid = :u"
        stage.cloud.execute(server.database, sql, {"u": server.uuid})
    stage.cloud.update("nova_api", "instance_mappings", {"instance_uuid": server.uuid}, queued_for_delete=queued)
    assert freed(stage, fixed["ip_address"]) == ([] if kept else ["mend-ipam-allocation"])
    assert (server.uuid in reasons(stage.plan("ipam-drift"))) is kept


def test_the_same_address_in_another_network_is_no_trace(stage: Stage) -> None:
    """Projects use the same private ranges."""
    server, fixed = lost(stage.cloud)
    (vif,) = vifs(stage.cloud, server)
    vif["network"]["id"] = "0f0f0f0f-0000-4000-8000-000000000001"
    write(stage.cloud, server, json.dumps([vif]))
    assert freed(stage, fixed["ip_address"]) == ["mend-ipam-allocation"]


def test_a_subnet_whose_addresses_guests_use_was_lost(stage: Stage) -> None:
    """What IPAM has of a deleted subnet is kept if a server's cache lists one of its addresses that no port has."""
    server, fixed = lost(stage.cloud)
    ipam = ipam_of(stage.cloud, fixed["subnet_id"])
    gone = {"neutron_subnet_id": "0f0f0f0f-0000-4000-8000-000000000002"}
    stage.cloud.insert("neutron", "ipamsubnets", id="0f0f0f0f-0000-4000-8000-000000000003", **gone)
    where = {"ip_address": fixed["ip_address"], "ipam_subnet_id": ipam}
    moved = {"ipam_subnet_id": "0f0f0f0f-0000-4000-8000-000000000003"}
    stage.cloud.update("neutron", "ipamallocations", where, **moved)
    assert f"network cache of server {server.uuid}" in reasons(stage.plan("ipam-drift"))


def in_lost_subnet(cloud: Cloud, fixed: dict[str, Any], *, sampled: bool) -> None:
    """IPAM has the address in a subnet that is gone, with a hundred others, of which every other one is a sample."""
    subnet = "0f0f0f0f-0000-4000-8000-000000000003"
    cloud.insert("neutron", "ipamsubnets", id=subnet, neutron_subnet_id="0f0f0f0f-0000-4000-8000-000000000002")
    where = {"ip_address": fixed["ip_address"], "ipam_subnet_id": ipam_of(cloud, fixed["subnet_id"])}
    cloud.update("neutron", "ipamallocations", where, ipam_subnet_id=subnet)
    start = fixed["ip_address"].rpartition(".")[0]
    others = [f"{start}.0{number:03}" for number in range(105)]
    others = others if (len(others) % 2 == 0) is sampled else others[1:]
    for address in others:
        cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=subnet, status="ALLOCATED")


@pytest.mark.parametrize("crowded", [False, True])
def test_any_address_of_a_lost_subnet_counts(stage: Stage, crowded: bool) -> None:
    """All are looked for at once. If more caches than one reads have something like it, some of the addresses are."""
    server, fixed = lost(stage.cloud)
    in_lost_subnet(stage.cloud, fixed, sampled=crowded)
    if crowded:
        text = json.dumps([{"id": "f00", "note": f"{fixed['ip_address'].rpartition('.')[0]}.01234"}])
        for _ in range(200):
            stage.cloud.insert(
                server.database, "instance_info_caches", instance_uuid=str(uuid4()), network_info=text, deleted=0
            )
    assert f"network cache of server {server.uuid}" in reasons(stage.plan("ipam-drift"))


def test_a_subnet_that_nobody_uses_is_forgotten(stage: Stage) -> None:
    """A cache that lists a longer address, which begins like one of its own, is none of them."""
    server, fixed = lost(stage.cloud)
    in_lost_subnet(stage.cloud, fixed, sampled=True)
    (vif,) = vifs(stage.cloud, server)
    vif["network"]["subnets"][0]["ips"][0]["address"] = f"{fixed['ip_address']}99"
    write(stage.cloud, server, json.dumps([vif]))
    plan = stage.plan("ipam-drift")
    assert [action.repair for action in plan.runnable if action.key["address"] == ""] == ["mend-ipam-allocation"]
