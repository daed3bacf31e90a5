# SPDX-License-Identifier: Apache-2.0
"""Ports that only carry a server's id: told from its NICs, and never made NICs by a repair."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackmend.cloud.evidence.nics import PortStanding, Witnesses, judge
from stackmend_lab.plants._networks import nic_rows, vifs, write
from stackmend_lab.plants._servers import neighbour, new_port
from stackmend_lab.plants.neutron import extra_ports_on_server
from stackmend_lab.plants.nova import vif_rows_mismatch

from ..support.repair_stage import Stage

BORN = datetime(2026, 3, 1, 12)
LAUNCHED = BORN + timedelta(minutes=3)
SERVER = {"host": "c1", "node": "c1.lab", "power_state": 1, "created_at": str(BORN), "launched_at": str(LAUNCHED)}
#: as Nova makes a NIC
NIC = Witnesses(noted=True, cached=True, active=True, up=True, bound="c1", made=BORN + timedelta(minutes=1))
#: what a failed build leaves behind
LEFT = Witnesses(noted=False, cached=False, active=False, up=True, bound="", made=BORN + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("server", "port", "other", "expected"),
    [
        ({}, LEFT, NIC, PortStanding.LEFTOVER),
        ({}, replace(LEFT, bound="c9"), NIC, PortStanding.LEFTOVER),
        ({}, replace(LEFT, cached=True), NIC, PortStanding.ADOPTED),
        ({}, replace(LEFT, cached=True, bound="c1"), NIC, PortStanding.ADOPTED),
        ({}, replace(LEFT, cached=True, bound="c1", up=False), NIC, PortStanding.NIC),
        ({}, replace(LEFT, cached=True, bound="c1", made=LAUNCHED + timedelta(days=3)), NIC, PortStanding.NIC),
        ({}, replace(LEFT, cached=True, bound="c1", made=BORN - timedelta(days=30)), NIC, PortStanding.NIC),
        ({}, replace(LEFT, noted=True), NIC, PortStanding.NIC),
        ({}, replace(LEFT, active=True, bound="c1"), NIC, PortStanding.NIC),
        ({}, replace(LEFT, active=True, bound="c1.lab"), NIC, PortStanding.NIC),
        ({}, LEFT, None, PortStanding.UNCLEAR),
        ({"power_state": 4}, replace(LEFT, bound="c1"), None, PortStanding.NIC),
        ({"power_state": 4}, replace(LEFT, bound="c1"), replace(NIC, cached=False), PortStanding.NIC),
        ({"power_state": 4}, replace(LEFT, bound="c1"), NIC, PortStanding.LEFTOVER),
        ({}, replace(LEFT, bound="c1"), replace(NIC, cached=False), PortStanding.UNCLEAR),
        ({"host": None, "node": None, "power_state": 4}, LEFT, None, PortStanding.UNCLEAR),
        ({"host": None, "node": None, "power_state": 4}, LEFT, replace(NIC, bound=""), PortStanding.LEFTOVER),
    ],
)
def test_what_a_port_is_to_a_server(
    server: dict[str, Any], port: Witnesses, other: Witnesses | None, expected: PortStanding
) -> None:
    """One port beside another one, or alone."""
    ports = {"it": port} | ({"other": other} if other else {})
    assert judge({**SERVER, **server}, ports)["it"][0] is expected


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Witnesses,
            noted=st.booleans(),
            cached=st.booleans(),
            active=st.booleans(),
            up=st.booleans(),
            bound=st.sampled_from(["", "c1", "c9"]),
            made=st.one_of(st.none(), st.sampled_from([BORN, LAUNCHED, BORN - timedelta(days=9)])),
        ),
        max_size=4,
    ),
    st.sampled_from([1, 4, None]),
    st.sampled_from(["c1", None]),
)
def test_no_nic_is_called_a_leftover(ports: list[Witnesses], power: int | None, host: str | None) -> None:
    """What Nova noted or an agent serves is a NIC; what has no witness at all never is."""
    server = {**SERVER, "power_state": power, "host": host, "node": host}
    seen = {str(number): port for number, port in enumerate(ports)}
    for name, (standing, why) in judge(server, seen).items():
        port = seen[name]
        works = port.active and host is not None and port.bound == host
        assert why
        assert not (port.noted or works) or standing is PortStanding.NIC
        assert port.noted or works or port.cached or (host and port.bound == host) or standing is not PortStanding.NIC
        assert port.cached or standing is not PortStanding.ADOPTED


def _leftovers(stage: Stage) -> tuple[Any, list[str]]:
    """A running server with two ports of a failed build: one not bound, one bound to another host."""
    server = stage.cloud.pick("active")
    elsewhere = new_port(stage.cloud, server, host=str(neighbour(stage.cloud, server)["host"]))
    return server, [new_port(stage.cloud, server), elsewhere]


@pytest.mark.attack("an empty cache, and two leftovers of a failed build beside the server's NIC")
def test_a_rebuilt_cache_holds_no_leftovers(stage: Stage) -> None:
    """The cache gets the NIC alone and no row is made for a leftover, which stays a finding all the while."""
    server, leftovers = _leftovers(stage)
    named = {("extra-ports-on-server", port) for port in leftovers}
    before, rows = vifs(stage.cloud, server), nic_rows(stage.cloud, server)
    assert stage.found("extra-ports-on-server") == named
    write(stage.cloud, server, "[]")
    assert stage.found("extra-ports-on-server", "info-cache-empty") == named | {("info-cache-empty", server.uuid)}
    plan = stage.request("rebuild-info-cache", server=server.uuid)
    said = " ".join(plan.runnable[0].statements)
    assert all(f"Port {port} carries the id of server {server.uuid} but is left out" in said for port in leftovers)
    stage.apply(plan)
    assert [vif["id"] for vif in vifs(stage.cloud, server)] == [vif["id"] for vif in before]
    assert nic_rows(stage.cloud, server) == rows
    assert stage.found("extra-ports-on-server", "info-cache-empty", "vif-rows-mismatch") == named


def test_a_healthy_cache_beside_a_leftover_is_right(stage: Stage) -> None:
    """`server cache rebuild` finds nothing to do."""
    server, _ = _leftovers(stage)
    plan = stage.request("rebuild-info-cache", server=server.uuid)
    assert plan.runnable == ()
    (left,) = plan.not_repaired
    assert left.reason == f"server {server.uuid} is already as requested, there is nothing to do"


def test_where_only_the_guest_tells_no_cache_is_written(stage: Stage) -> None:
    """Every row of the server's NICs is lost, and one port is bound elsewhere: refused, with the command that tells."""
    server = stage.cloud.pick("active")
    cloud = stage.cloud
    cloud.delete(server.database, "virtual_interfaces", {"instance_uuid": server.uuid})
    cloud.update("neutron", "ports", {"id": server.ports[0]}, status="DOWN")
    host = str(neighbour(cloud, server)["host"])
    cloud.update("neutron", "ml2_port_bindings", {"port_id": server.ports[0]}, host=host)
    write(cloud, server, "[]")
    plan = stage.request("rebuild-info-cache", server=server.uuid)
    assert plan.runnable == ()
    assert f"is a NIC of server {server.uuid}: no virtual_interfaces row" in plan.not_repaired[0].reason
    assert f"'virsh domiflist' on {server.host}" in plan.not_repaired[0].reason


def test_a_leftover_is_not_kept_as_a_nic(stage: Stage) -> None:
    """`port keep` does not advise a rebuild that would leave the port out."""
    _, (port, _) = _leftovers(stage)
    reason = stage.request("keep-port", port=port).not_repaired[0].reason
    assert "is not a NIC of server" in reason
    assert f"openstack port unset --device {port}" in reason


@pytest.mark.attack("Nova's healer has put the leftover of a failed build into the cache")
def test_an_adopted_leftover_gets_no_row(stage: Stage) -> None:
    """The audit names the cause and not the missing row; no plan makes one, and the wanted NIC's row can be mended."""
    key = extra_ports_on_server.adopted(stage.cloud)
    assert stage.found("extra-ports-on-server", "vif-rows-mismatch") == {("extra-ports-on-server", key["port"])}
    refused = stage.request("mend-vif-rows", server=key["server"])
    assert refused.runnable == ()
    assert "looks like the leftover of a failed build" in refused.not_repaired[0].reason
    refused = stage.request("rebuild-info-cache", server=key["server"])
    assert f"is a NIC of server {key['server']}: Nova never recorded it as a NIC" in refused.not_repaired[0].reason
    wanted = vif_rows_mismatch.plant(stage.cloud)
    stage.apply(stage.request("mend-vif-rows", server=wanted["server"]))
    # asked alone the check cannot know the cause; the repair does
    assert stage.found("vif-rows-mismatch") == {("vif-rows-mismatch", key["server"])}


def test_a_document_says_whose_its_ports_are(stage: Stage) -> None:
    """What the old document says of the ports it lists is kept when a missing one is added."""
    server = stage.cloud.pick("multi_nic")
    found = vifs(stage.cloud, server)
    found[0]["preserve_on_delete"] = True
    write(stage.cloud, server, json.dumps(found[:2]))
    stage.apply(stage.request("rebuild-info-cache", server=server.uuid))
    now = vifs(stage.cloud, server)
    assert [vif["id"] for vif in now] == [vif["id"] for vif in found]
    assert [vif["preserve_on_delete"] for vif in now[:2]] == [vif["preserve_on_delete"] for vif in found[:2]]
