# SPDX-License-Identifier: Apache-2.0
"""Ports that Neutron has lost while their servers live: who may forget them, and what a port made again looks like."""

from __future__ import annotations

from typing import Any

import pytest

from stackmend.app import runs
from stackmend.model.errors import ConsentError, UsageError
from stackmend.model.step import Risk
from stackmend_lab.cloud import Server
from stackmend_lab.plants._networks import CHILDREN, drop_port, new_port, vifs

from ..support.repair_stage import Stage, reasons

CHECK = "info-cache-stale-port"


@pytest.mark.attack("Neutron's database is older than Nova's: one port of a living server is gone")
def test_nothing_forgets_the_last_record_of_a_nic_unasked(stage: Stage) -> None:
    """Without a word of the operator nothing is planned; both ways want consent, and neither is by the API alone."""
    drop_port(stage.cloud, stage.cloud.pick("active").ports[0])
    plan = stage.plan(CHECK)
    assert plan.runnable == ()
    assert "--repair drop-stale-vif or --repair restore-port" in reasons(plan)
    for repair in ("drop-stale-vif", "restore-port"):
        chosen = stage.plan(CHECK, repair)
        assert [(a.repair, a.risk, a.strategy) for a in chosen.runnable] == [(repair, Risk.UNSAFE, "db")]
        with pytest.raises(ConsentError):
            runs.apply(stage.config, chosen)


def test_a_port_made_again_is_the_port_that_was(stage: Stage) -> None:
    """Every row of it reads as before, but for what Nova does not remember: name, number, times, and its status.

    Its project's default group is that of a server with one NIC.
    """
    server = stage.cloud.pick("active")
    group = stage.rows("securitygroupportbindings", port_id=server.ports[0])[0]["security_group_id"]
    stage.cloud.insert("neutron", "default_security_group", project_id=server.project_id, security_group_id=group)
    port = server.ports[0]
    ours = ("ports", "ipallocations", "ml2_port_bindings", "ml2_port_binding_levels", "portsecuritybindings",
            "securitygroupportbindings")  # fmt: skip
    keys = {table: "id" if table == "ports" else "port_id" for table in ours}
    before = {table: stage.rows(table, **{key: port}) for table, key in keys.items()}
    addresses = [row["ip_address"] for row in before["ipallocations"]]
    managed = [stage.rows("ipamallocations", ip_address=address) for address in addresses]
    drop_port(stage.cloud, port)
    assert [stage.rows("ipamallocations", ip_address=address) for address in addresses] != managed
    stage.apply(stage.plan(CHECK, "restore-port"))
    after = {table: stage.rows(table, **{key: port}) for table, key in keys.items()}
    assert {table: _plain(rows) for table, rows in after.items()} == {t: _plain(rows) for t, rows in before.items()}
    assert [stage.rows("ipamallocations", ip_address=address) for address in addresses] == managed
    assert (after["ports"][0]["status"], after["ports"][0]["device_owner"]) == ("DOWN", "compute:nova")
    number = after["ports"][0]["standard_attr_id"]
    assert [row["resource_type"] for row in stage.rows("standardattributes", id=number)] == ["ports"]


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what nobody remembers of a port, and with documents that say nothing alike."""
    found = []
    for row in rows:
        values = {k: v for k, v in row.items() if k not in ("standard_attr_id", "status", "name")}
        found.append(values | ({"profile": values["profile"] or "{}"} if "profile" in values else {}))
    return found


def test_security_groups_are_those_of_its_other_ports(stage: Stage) -> None:
    """Nova does not keep them; what the server's other NICs have is the likeliest."""
    server = stage.cloud.pick("multi_nic")
    groups = {row["security_group_id"] for row in stage.rows("securitygroupportbindings", port_id=server.ports[1])}
    drop_port(stage.cloud, server.ports[0])
    stage.apply(stage.plan(CHECK, "restore-port"))
    now = {row["security_group_id"] for row in stage.rows("securitygroupportbindings", port_id=server.ports[0])}
    assert now == groups != set()


def test_an_address_that_is_anothers_by_now_is_not_taken(stage: Stage) -> None:
    """Refused, and the holder is named; so with the MAC."""
    server, other = stage.cloud.pick("active"), stage.cloud.pick("active")
    port, cloud = server.ports[0], stage.cloud
    fixed = stage.rows("ipallocations", port_id=port)[0]
    drop_port(cloud, port)
    taker = new_port(cloud, other, other.uuid, cloud.ago(60), project_id="f" * 32)
    theirs = {"subnet_id": fixed["subnet_id"], "network_id": fixed["network_id"], "ip_address": fixed["ip_address"]}
    cloud.update("neutron", "ipallocations", {"port_id": taker}, **theirs)
    said = reasons(stage.plan(CHECK, "restore-port"))
    assert (
        f"address {fixed['ip_address']} of port {port} now belongs to port {taker} (compute:nova {other.uuid})" in said
    )
    mac = vifs(cloud, server)[0]["address"]
    cloud.update("neutron", "ports", {"id": taker}, mac_address=mac, network_id=fixed["network_id"])
    said = reasons(stage.plan(CHECK, "restore-port"))
    assert f"port {taker} (compute:nova {other.uuid}) now has the MAC {mac}" in said


def _mates(stage: Stage, count: int) -> list[Server]:
    """Servers of one host."""
    by_host: dict[str, list[Server]] = {}
    while True:
        server = stage.cloud.pick("active")
        mates = by_host.setdefault(str(server.host), [])
        mates.append(server)
        if len(mates) == count:
            return mates


@pytest.mark.attack("Neutron's database was restored from an older dump: ports of many servers are gone")
@pytest.mark.parametrize("repair", ["drop-stale-vif", "restore-port"])
def test_an_older_neutron_is_no_matter_of_single_ports(stage: Stage, repair: str) -> None:
    """Where several servers of a host lost all their ports, nothing is forgotten and nothing made, with the reason."""
    for server in _mates(stage, 3):
        for port in server.ports:
            drop_port(stage.cloud, port)
    plan = stage.plan(CHECK, repair)
    assert plan.runnable == ()
    assert reasons(plan).count("Neutron's database looks older than Nova's") == 3


def test_two_ports_of_one_server_are_made_by_one_plan(stage: Stage) -> None:
    """Each draws a number of its own."""
    server = stage.cloud.pick("multi_nic")
    for port in server.ports[:2]:
        drop_port(stage.cloud, port)
    plan = stage.plan(CHECK, "restore-port")
    assert len(plan.runnable) + len(plan.deferred) == 2
    while plan.runnable:
        stage.apply(plan)
        plan = stage.plan(CHECK, "restore-port")
    numbers = [stage.rows("ports", id=port)[0]["standard_attr_id"] for port in server.ports]
    assert len(set(numbers)) == len(server.ports)
    assert all(stage.rows(table, port_id=server.ports[0]) for table in CHILDREN)


def test_a_repair_that_is_none_cannot_be_chosen(stage: Stage) -> None:
    """A typing error is no consent to anything."""
    drop_port(stage.cloud, stage.cloud.pick("active").ports[0])
    with pytest.raises(UsageError, match="there is no repair 'restore-prot'"):
        stage.plan(CHECK, "restore-prot")
