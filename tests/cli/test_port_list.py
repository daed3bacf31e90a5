# SPDX-License-Identifier: Apache-2.0
"""``port list`` and ``port show``: by server, project, network and host, with what does not agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, Server

from .test_road import conforms

NOBODY = "00000000-1111-2222-3333-444444444444"


@pytest.fixture
def stackmend(run: Any, cloud_config: Any) -> Any:
    """Run a command on the cloud."""
    return lambda *argv: run("--config", cloud_config, *argv)


def listed(stackmend: Any, by: str, name: str, code: Exit = Exit.CLEAN) -> dict[str, Any]:
    """Port -> its record."""
    ran = stackmend("port", "list", f"--{by}", name, "-f", "json")
    assert ran.code == code, (ran.err, [one for one in ran.out.splitlines() if "it" in one][:5])
    return {one["port"]: one for one in conforms(ran.out, "ports")}


def test_a_healthy_cloud_agrees(cloud: Cloud, stackmend: Any) -> None:
    """Every port of every project is listed, ports of containers among them, and none has a difference."""
    seen: dict[str, Any] = {}
    for row in cloud.rows("neutron", "SELECT DISTINCT project_id AS p FROM ports WHERE project_id <> ''"):
        found = listed(stackmend, "project", row["p"])
        assert {one["project"] for one in found.values()} == {row["p"]}
        seen |= found
    every = {row["id"] for row in cloud.rows("neutron", "SELECT id FROM ports WHERE project_id <> ''")}
    assert set(seen) == every
    assert {tuple(one["differences"]) for one in seen.values()} == {()}
    assert any(one["fate"] is None and one["device_owner"] == "network:dhcp" for one in seen.values())


def test_by_network_and_host(cloud: Cloud, stackmend: Any) -> None:
    """A network by its id; a host by the ACTIVE bindings alone."""
    network = cloud.rows("neutron", "SELECT id, name FROM networks WHERE name <> 'public' LIMIT 1")[0]
    found = listed(stackmend, "network", network["id"])
    assert found
    assert {one["network"] for one in found.values()} == {network["id"]}
    host = cloud.pick("active").host
    sql = "SELECT port_id FROM ml2_port_bindings WHERE host = :h AND status = 'ACTIVE'"
    wanted = {row["port_id"] for row in cloud.rows("neutron", sql, {"h": host})}
    assert set(listed(stackmend, "host", str(host))) == wanted != set()


@pytest.mark.parametrize("where", ["build_requests", "instance_mappings"])
def test_the_server_is_about_to_be_built(cloud: Cloud, stackmend: Any, where: str) -> None:
    """No cell has it yet, and that is as it should be; once neither says so, the port is one of nobody."""
    port = cloud.pick("active").ports[0]
    project = cloud.rows("neutron", "SELECT project_id AS p FROM ports WHERE id = :p", {"p": port})[0]["p"]
    server = cloud.pick("unscheduled").uuid
    cloud.update("neutron", "ports", {"id": port}, device_id=server)
    other = {"build_requests": "instance_mappings", "instance_mappings": "build_requests"}[where]
    cloud.delete("nova_api", other, {"instance_uuid": server})
    assert listed(stackmend, "project", project)[port]["differences"] == []
    cloud.delete("nova_api", where, {"instance_uuid": server})
    found = listed(stackmend, "project", project, Exit.FINDINGS)[port]["differences"]
    assert found == [f"no cell has a living server {server}"]


def no_binding_there(cloud: Cloud, server: Server) -> None:
    cloud.update("neutron", "ml2_port_bindings", {"port_id": server.ports[0]}, host="c0009")


def failed(cloud: Cloud, server: Server) -> None:
    cloud.update("neutron", "ml2_port_bindings", {"port_id": server.ports[0]}, vif_type="binding_failed")


def down(cloud: Cloud, server: Server) -> None:
    cloud.update("neutron", "ports", {"id": server.ports[0]}, status="DOWN")


def emptied(cloud: Cloud, server: Server) -> None:
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, network_info="[]")


def another_address(cloud: Cloud, server: Server) -> None:
    where = {"port_id": server.ports[0]}
    cloud.execute("neutron", "UPDATE ipallocations SET ip_address = '10.255.0.9' WHERE port_id = :p"
                  " AND ip_address LIKE '10.%'", {"p": where["port_id"]})  # fmt: skip


def another_mac(cloud: Cloud, server: Server) -> None:
    cloud.update("neutron", "ports", {"id": server.ports[0]}, mac_address="fa:16:3e:ff:ff:01")


def foreign(cloud: Cloud, server: Server) -> None:
    cloud.update(server.database, "instances", {"uuid": server.uuid}, project_id="somebody-else")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_binding_there, "it is bound to c0009, the server is on"),
        (failed, "its binding to"),
        (down, "it is DOWN, but its server is running"),
        (emptied, "the server's cache does not list it"),
        (another_address, "the cache has the addresses 10."),
        (another_mac, "the cache has the MAC fa:"),
        (foreign, "its server belongs to project somebody-else"),
    ],
)
def test_what_does_not_agree_is_said(
    cloud: Cloud, stackmend: Any, spoil: Callable[[Cloud, Server], None], words: str
) -> None:
    """In the list and on the page of the port, with exit code 3."""
    server = cloud.pick("active")
    spoil(cloud, server)
    (difference,) = listed(stackmend, "server", server.uuid, Exit.FINDINGS)[server.ports[0]]["differences"]
    assert difference.startswith(words)
    ran = stackmend("port", "show", server.ports[0], "-f", "json")
    assert ran.code == Exit.FINDINGS, ran.err
    assert conforms(ran.out, "port")["differences"] == [difference]


class Guests:
    """libvirt of hosts, by its own test driver: what each host has is in a file."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder, self.config = folder, str(folder / "with-libvirt.toml")
        text = Path(config).read_text()
        Path(self.config).write_text(f'{text}[hosts]\nlibvirt = "test://{folder}/{{host}}.xml"\n')

    def has(self, cloud: Cloud, server: Server, *, ports: bool = True, more: str = "") -> None:
        """The guest of a server on its host, with the NICs of its ports, and one of this MAC."""
        sql = "SELECT id, mac_address FROM ports WHERE device_id = :s"
        rows = cloud.rows("neutron", sql, {"s": server.uuid}) if ports else []
        nics = [(row["mac_address"], row["id"]) for row in rows] + ([(more, NOBODY)] if more else [])
        devices = "".join(
            f"<interface type='bridge'><mac address='{mac}'/><source bridge='br-int'/><virtualport type='openvswitch'>"
            f"<parameters interfaceid='{port}'/></virtualport><target dev='tap{port[:11]}'/></interface>"
            for mac, port in nics
        )
        (self.folder / f"{server.host}.xml").write_text(
            f"<node><domain type='test'><name>instance-1</name><uuid>{server.uuid}</uuid><memory>65536</memory>"
            f"<os><type>hvm</type></os><devices>{devices}</devices></domain></node>"
        )


@pytest.fixture
def guests(tmp_path: Path, cloud_config: Any) -> Guests:
    """Hosts that can be asked."""
    return Guests(tmp_path, cloud_config)


def test_the_guest_has_its_nics(cloud: Cloud, run: Any, guests: Guests) -> None:
    """By their MACs: with the device of each on the host, and binding and addresses beside it."""
    server = cloud.pick("active")
    guests.has(cloud, server)
    ran = run("--config", guests.config, "port", "list", "--server", server.uuid, "-f", "json")
    assert ran.code == Exit.CLEAN, ran.err
    for one in conforms(ran.out, "ports"):
        assert (one["in_guest"], one["bound_host"], one["differences"]) == (True, server.host, [])
        assert one["addresses"]
    shown = run("--config", guests.config, "port", "list", "--server", server.uuid).out
    assert {"Bound Host", "In Guest"} <= {cell.strip() for cell in shown.splitlines()[1].split("|")}


def test_the_guest_runs_without_its_nic(cloud: Cloud, run: Any, guests: Guests) -> None:
    """Every record agrees, and the guest has another NIC: both are said, with exit code 3."""
    server = cloud.pick("active")
    guests.has(cloud, server, ports=False, more="fa:16:3e:ff:ff:02")
    ran = run("--config", guests.config, "port", "list", "--server", server.uuid, "-f", "json")
    assert ran.code == Exit.FINDINGS, ran.err
    assert "the guest has a NIC fa:16:3e:ff:ff:02" in ran.err
    found = {one["port"]: (one["in_guest"], one["differences"]) for one in conforms(ran.out, "ports")}
    assert found == {port: (False, [f"its guest on {server.host} runs without this NIC"]) for port in server.ports}


def test_a_host_that_does_not_answer(cloud: Cloud, run: Any, guests: Guests) -> None:
    """What the guest has is not known, which is no agreement; nor is a host that has no such guest."""
    server, other = cloud.pick("active"), cloud.pick("active")
    asked = ("--config", guests.config, "port", "list", "--server", server.uuid, "-f", "json")
    ran = run(*asked)
    assert (ran.code, "which NICs the guest has is not known" in ran.err) == (Exit.INCOMPLETE, True), ran.err
    assert {one["in_guest"] for one in conforms(ran.out, "ports")} == {None}
    guests.has(cloud, dataclasses.replace(other, host=server.host))
    ran = run(*asked)
    assert ran.code == Exit.INCOMPLETE
    assert f"{server.host} has no guest of server {server.uuid}" in ran.err


def test_a_port_of_no_server_and_a_port_that_is_gone(cloud: Cloud, stackmend: Any) -> None:
    """Its server is in no cell; and the cache of another lists what Neutron has no more."""
    left, gone = cloud.pick("active"), cloud.pick("active")
    cloud.update("neutron", "ports", {"id": left.ports[0]}, device_id=NOBODY)
    ran = stackmend("port", "show", left.ports[0], "-f", "json")
    assert conforms(ran.out, "port")["differences"] == [f"no cell has a living server {NOBODY}"]
    cloud.delete("neutron", "ports", {"id": gone.ports[0]})
    one = listed(stackmend, "server", gone.uuid, Exit.FINDINGS)[gone.ports[0]]
    assert (one["differences"], one["fate"]) == (["Neutron has no such port"], "absent")


def test_the_page_of_a_port(cloud: Cloud, stackmend: Any) -> None:
    """Network by name, subnets and floating addresses; nothing is changed."""
    row = cloud.rows("neutron", "SELECT * FROM floatingips WHERE fixed_port_id IS NOT NULL LIMIT 1")[0]
    before = cloud.dump()
    ran = stackmend("port", "show", row["fixed_port_id"], "-f", "json")
    page = conforms(ran.out, "port")
    assert page["floating"] == [row["floating_ip_address"]]
    assert row["fixed_ip_address"] in page["addresses"]
    assert page["network_name"]
    assert page["subnets"]
    assert "floating" in stackmend("port", "show", row["fixed_port_id"]).out
    assert cloud.dump() == before


@pytest.mark.parametrize("document", ["[{", '{"id": 1}', '[{"address": "fa:16:3e:00:00:01"}]', '["x"]'])
def test_one_broken_cache_does_not_hide_the_other_ports(cloud: Cloud, stackmend: Any, document: str) -> None:
    """It is said of the ports of its server; asked for that server alone it is an error with a way out."""
    server = cloud.pick("active")
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, network_info=document)
    network = listed(stackmend, "host", str(server.host), Exit.FINDINGS)
    assert len(network) > len(server.ports)
    odd = {id_: one["differences"] for id_, one in network.items() if one["differences"]}
    assert odd == {id_: ["the server's cache cannot be read"] for id_ in server.ports}
    ran = stackmend("port", "list", "--server", server.uuid)
    assert "cannot be read" in ran.err
    assert "server cache rebuild" in ran.err


def test_one_of_them_has_to_be_named(stackmend: Any) -> None:
    """Nobody lists a whole cloud by chance, nor by two things at once."""
    assert stackmend("port", "list").code == Exit.USAGE
    assert stackmend("port", "list", "--server", "a", "--host", "b").code == Exit.USAGE
