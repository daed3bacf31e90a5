# SPDX-License-Identifier: Apache-2.0
"""``port find`` and ``port check``: whose an address is, whose it was, and whether something answers there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from stackmend.app.objects.addresses import address_of
from stackmend.app.objects.reach import target
from stackmend.model.errors import Exit, UsageError
from stackmend_lab.cloud import Cloud, Server
from stackmend_lab.plants._networks import drop_port

from .test_road import conforms

#: RFC 5737: nobody's
NOBODYS = "192.0.2.77"


@pytest.fixture
def stackmend(run: Any, cloud_config: Any) -> Any:
    """Run a command on the cloud."""
    return lambda *argv: run("--config", cloud_config, *argv)


def fixed(cloud: Cloud, server: Server) -> tuple[str, str]:
    """(IPv4 address, MAC) of a server's first port."""
    port = {"p": server.ports[0]}
    every = cloud.rows("neutron", "SELECT ip_address FROM ipallocations WHERE port_id = :p", port)
    (row,) = cloud.rows("neutron", "SELECT mac_address FROM ports WHERE id = :p", port)
    return next(str(one["ip_address"]) for one in every if ":" not in one["ip_address"]), str(row["mac_address"])


def cache(cloud: Cloud, server: Server) -> str:
    """A server's network cache."""
    sql = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = :u"
    return str(cloud.rows(server.database, sql, {"u": server.uuid})[0]["network_info"])


def found(stackmend: Any, address: str, code: Exit = Exit.CLEAN) -> Any:
    """The document of an address."""
    ran = stackmend("port", "find", address, "-f", "json")
    assert ran.code == code, ran.err
    return conforms(ran.out, "address")


def without_its_ports(cloud: Cloud, server: Server) -> None:
    """As Neutron is once they are deleted."""
    for port in server.ports:
        drop_port(cloud, port)


def test_who_has_it(cloud: Cloud, stackmend: Any) -> None:
    """By address and by MAC, in any way of writing: the port, its server by name, its host, the way to it."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, display_name="web-1")
    address, mac = fixed(cloud, server)
    before = cloud.dump()
    for asked in (address, mac, mac.upper(), mac.replace(":", "-"), "".join(mac.split(":")[:2]) + "." + "".join(
        mac.split(":")[2:4]) + "." + "".join(mac.split(":")[4:])):  # fmt: skip
        document = found(stackmend, asked)
        (holder,) = document["holders"]
        assert (holder["port"]["id"], holder["server"], holder["port"]["host"]) == (
            server.ports[0], "web-1", server.host,
        )  # fmt: skip
        assert document["former"] == []
    (place,) = found(stackmend, address)["places"]
    assert place["routers"] == ["edge"]
    assert place["dhcp_hosts"] == ["control"]
    assert place["role"] == ""
    text = stackmend("port", "find", address).out
    assert f"server web-1 ({server.uuid})" in text
    assert "router edge" in text
    assert cloud.dump() == before


def test_who_had_it(cloud: Cloud, stackmend: Any) -> None:
    """A deleted server whose cache was not emptied, by its address and its MAC; then nobody holds it."""
    server = cloud.pick("active")
    address, mac = fixed(cloud, server)
    without_its_ports(cloud, server)
    row = cloud.rows(server.database, "SELECT id FROM instances WHERE uuid = :u", {"u": server.uuid})[0]
    gone = cloud.ago(3600)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, deleted=row["id"], deleted_at=gone)
    for action, when in (("detach_interface", cloud.ago(9000)), ("delete", gone), ("reboot", cloud.ago(60))):
        cloud.insert(
            server.database, "instance_actions", action=action, instance_uuid=server.uuid, deleted=0,
            request_id=f"req-{action}", start_time=when, created_at=when,
        )  # fmt: skip
    for asked in (address, mac):
        document = found(stackmend, asked)
        assert document["holders"] == []
        (former,) = document["former"]
        assert (former["server"], former["port"], former["mac"]) == (server.uuid, server.ports[0], mac)
        assert address in former["addresses"]
        assert former["deleted_at"] == gone
        assert former["lost_by"] == f"delete at {gone[:19]} (req-delete)"
    assert any(place["network_name"] for place in found(stackmend, address)["places"])
    text = stackmend("port", "find", address).out
    assert "held by  no port" in text
    assert f"server {server.uuid}" in text or f"({server.uuid})" in text


def test_an_emptied_cache_leaves_the_rows_of_nics(cloud: Cloud, stackmend: Any) -> None:
    """Nova empties the cache of what it deletes in good order: the MAC is still in virtual_interfaces."""
    server = cloud.pick("active")
    address, mac = fixed(cloud, server)
    without_its_ports(cloud, server)
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, network_info="[]")
    assert found(stackmend, address)["former"] == []
    (former,) = found(stackmend, mac)["former"]
    assert (former["server"], former["witness"]) == (server.uuid, "virtual_interfaces")


def test_a_port_that_went_from_one_server_to_the_next(cloud: Cloud, stackmend: Any) -> None:
    """The port is held by one, and the records of the other still have it."""
    old, new = cloud.pick("active"), cloud.pick("active")
    address, _ = fixed(cloud, old)
    cloud.update("neutron", "ports", {"id": old.ports[0]}, device_id=new.uuid)
    document = found(stackmend, address)
    assert [holder["port"]["device"] for holder in document["holders"]] == [new.uuid]
    assert [former["server"] for former in document["former"]] == [old.uuid]


def test_a_near_address_is_another_one(cloud: Cloud, stackmend: Any) -> None:
    """10.0.0.1 is not in 10.0.0.10: the whole address counts, in rows and in documents."""
    server = cloud.pick("active")
    address, _ = fixed(cloud, server)
    without_its_ports(cloud, server)
    longer = f"{address}0" if int(address.rpartition(".")[2]) < 25 else f"1{address}"
    document = cache(cloud, server).replace(f'"{address}"', f'"{longer}"')
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, network_info=document)
    assert found(stackmend, address)["former"] == []


def test_a_gateway_is_everybodys(cloud: Cloud, stackmend: Any) -> None:
    """Every cache of the network has its gateway: that makes none of them a former holder."""
    row = cloud.rows("neutron", "SELECT gateway_ip FROM subnets WHERE gateway_ip LIKE '10.%' LIMIT 1")[0]
    document = found(stackmend, row["gateway_ip"])
    assert [place["role"] for place in document["places"]] == ["gateway"]
    assert [holder["port"]["owner"] for holder in document["holders"]] == ["network:router_interface"]
    assert document["former"] == []


def test_a_floating_address(cloud: Cloud, stackmend: Any) -> None:
    """It leads to a fixed one; the server behind it is no former holder."""
    row = cloud.rows("neutron", "SELECT * FROM floatingips WHERE fixed_port_id IS NOT NULL LIMIT 1")[0]
    document = found(stackmend, row["floating_ip_address"])
    assert [one["port"] for one in document["floating"]] == [row["fixed_port_id"]]
    assert document["former"] == []
    (holder,) = found(stackmend, row["fixed_ip_address"])["holders"]
    assert holder["floating"] == [row["floating_ip_address"]]


def test_an_address_of_nobody(cloud: Cloud, stackmend: Any) -> None:
    """No port, no server, no subnet; and that is clean."""
    document = found(stackmend, NOBODYS)
    assert (document["holders"], document["former"], document["places"]) == ([], [], [])


def test_a_broken_document_is_said(cloud: Cloud, cloud_config: Any, run: Any) -> None:
    """A cache that is no JSON and mentions the address ends nothing, and is named: its server may have had it."""
    server = cloud.pick("active")
    broken = f'[{{"address": "{NOBODYS}"'
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, network_info=broken)
    ran = run("--config", cloud_config, "port", "find", NOBODYS, "-f", "json")
    document = conforms(ran.out, "address")
    assert ran.code == Exit.INCOMPLETE
    assert document["former"] == []
    assert [server.uuid in source for source in document["unread"]] == [True]


def test_a_cell_that_cannot_be_read_is_said(cloud: Cloud, cloud_config: Any, run: Any) -> None:
    """Who had it may be there: exit code 7, and Neutron's answer all the same."""
    server = cloud.pick("active")
    address, _ = fixed(cloud, server)
    cloud.execute("cell:cell2", "DROP TABLE instance_info_caches")
    ran = run("--config", cloud_config, "port", "find", address, "-f", "json")
    assert ran.code == Exit.INCOMPLETE, ran.err
    document = conforms(ran.out, "address")
    assert [holder["port"]["id"] for holder in document["holders"]] == [server.ports[0]]
    assert "cell:cell2" in document["unread"]


@pytest.mark.parametrize(
    "text", ["", "10.0.0", "10.0.0.256", "fa:16:3e:00:00", "fa163e000001x", "web-1", "10.0.0.5/24"]
)
def test_what_is_no_address(stackmend: Any, text: str) -> None:
    """A usage error that names it."""
    ran = stackmend("port", "find", text)
    assert (ran.code, ran.out) == (Exit.USAGE, "")
    assert f"{text!r} is not an address" in ran.err


def test_ways_to_write_one() -> None:
    """As Neutron writes them."""
    assert address_of("2001:DB8:0:0::5") == ("ip", "2001:db8::5")
    assert address_of("FA16.3E12.3456") == ("mac", "fa:16:3e:12:34:56")
    assert target("10.0.0.5") == ("10.0.0.5", 22)
    assert target("2001:db8::5") == ("2001:db8::5", 22)
    assert target("[2001:db8::5]:443") == ("2001:db8::5", 443)
    for wrong in ("10.0.0.5:0", "10.0.0.5:65536", "10.0.0.5:ssh", "[2001:db8::5]443", "web-1", "[::1", ":22"):
        with pytest.raises(UsageError):
            target(wrong if wrong != "[::1" else "[::1]x")


# ---- port check


@pytest.fixture
def listening() -> Iterator[int]:
    """A TCP port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_something_listens(run: Any, listening: int) -> None:
    """Open, exit 0; without any configuration."""
    ran = run("port", "check", f"127.0.0.1:{listening}", "-f", "json")
    assert ran.code == Exit.CLEAN, ran.err
    (one,) = conforms(ran.out, "reach")
    assert (one["state"], one["port"]) == ("open", listening)


def test_nothing_listens(run: Any, listening: int) -> None:
    """Refused is an answer, and not an open port: exit 3; every address is said."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        closed = other.getsockname()[1]
    ran = run("port", "check", f"127.0.0.1:{closed}", f"127.0.0.1:{listening}", "-f", "json")
    assert ran.code == Exit.FINDINGS
    assert [one["state"] for one in conforms(ran.out, "reach")] == ["refused", "open"]


def test_nobody_answers(run: Any) -> None:
    """The limit is kept: a listener whose queue is full drops what comes, as a filter does."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        ran = run("port", "check", f"127.0.0.1:{port}", "--limit", "0.5", "-f", "json")
        for one in waiting:
            one.close()
    assert ran.code == Exit.FINDINGS
    (one,) = json.loads(ran.out)
    assert one["state"] == "silent"
    assert 0.4 <= one["seconds"] < 3
    assert "within 0.5 s" in one["why"]


def test_one_wrong_address_among_right_ones(run: Any, listening: int) -> None:
    """Nothing is tried, and the wrong one is named."""
    ran = run("port", "check", f"127.0.0.1:{listening}", "nowhere")
    assert (ran.code, ran.out) == (Exit.USAGE, "")
    assert "'nowhere' is not an address" in ran.err
