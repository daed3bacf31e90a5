# SPDX-License-Identifier: Apache-2.0
"""What is beside guests on a host, as the real kernel, Open vSwitch's own database and recorded text show it."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stackmend.drivers.hosts import traces
from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.model.objects.traces import BlockMap, Link, Session, Traces
from stackmend.model.objects.traces import Path as MapPath
from stackmend.tables.outside.hosts import PARTS

from ...outside.host_trees import INSTANCES, HostTree
from ...support import ovn_servers
from .conftest import tool

#: linux/if_tun.h
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_INTERFACES = {
    "name": "Open_vSwitch",
    "version": "8.3.0",
    "tables": {
        "Interface": {
            "columns": {
                "name": {"type": "string"},
                "external_ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            },
            "isRoot": True,
        }
    },
}


def seen(tree: HostTree | None = None, *, instances: str = f"/{INSTANCES}", programs: str = "") -> Traces:
    """What is on this machine, or in a folder that stands in for one."""
    root = str(tree.root) if tree else ""
    path = os.pathsep.join(filter(None, (f"{root}/bin" if tree else "", programs, os.environ["PATH"])))
    routes = Routes(local=frozenset({"c1"}), prefix=("env", f"PATH={path}"))
    return traces.beside(Transport(routes), "c1", traces.Place(instances=instances, root=root))


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    """A host without anything."""
    return HostTree(tmp_path / "host")


# -- the real kernel


@pytest.fixture
def own() -> Iterator[tuple[str, ExitStack]]:
    """The beginning of a port's id that nobody else has, and what is to be undone."""
    if os.geteuid() != 0 or tool("ip", "netns", "list").returncode != 0:
        pytest.skip("only root may make network devices")
    with ExitStack() as until:
        yield str(uuid.uuid4())[:11], until


def ip(*words: str) -> None:
    """Have the kernel do it."""
    done = tool("ip", *words)
    assert done.returncode == 0, done.stderr


def test_real_network_devices(own: tuple[str, ExitStack]) -> None:
    """A tap of nobody, a bridge, and both ends of a pair; not one that is called otherwise."""
    stem, until = own
    made = {
        f"tap{stem}": ("tuntap", "add", "dev", f"tap{stem}", "mode", "tap"),
        f"qbr{stem}": ("link", "add", f"qbr{stem}", "type", "bridge"),
        f"qvo{stem}": ("link", "add", f"qvo{stem}", "type", "veth", "peer", "name", f"qvb{stem}"),
        f"x{stem}": ("link", "add", f"x{stem}", "type", "bridge"),
    }
    for name, words in made.items():
        ip(*words)
        until.callback(ip, "link", "delete", name)
    found = [one for one in seen().links if one.stem == stem]
    assert found == [Link(name=f"{prefix}{stem}", stem=stem) for prefix in ("qbr", "qvb", "qvo", "tap")]


def test_a_real_tap_that_a_process_has_open(own: tuple[str, ExitStack]) -> None:
    """As QEMU has it: the carrier of a tap is its process."""
    stem, until = own
    ip("tuntap", "add", "dev", f"tap{stem}", "mode", "tap")
    until.callback(ip, "link", "delete", f"tap{stem}")
    ip("link", "set", f"tap{stem}", "up")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22s", f"tap{stem}".encode(), _IFF_TAP | _IFF_NO_PI, b""))
    assert [one.held for one in seen().links if one.stem == stem] == [True]
    os.close(device)
    assert [one.held for one in seen().links if one.stem == stem] == [False]


def test_real_namespaces(own: tuple[str, ExitStack]) -> None:
    """Those of agents, by the id in their names; others are left out."""
    _, until = own
    names = {f"{kind}-{uuid.uuid4()}" for kind in ("qdhcp", "qrouter", "snat", "fip", "ovnmeta")}
    for name in names:
        ip("netns", "add", name)
        until.callback(ip, "netns", "delete", name)
    found = [one for one in seen().namespaces if one.name in names]
    assert sorted(one.kind for one in found) == ["fip", "qdhcp", "qrouter", "snat"]
    assert all(one.name == f"{one.kind}-{one.resource}" for one in found)


def test_this_machine_has_every_part(tmp_path: Path) -> None:
    """Read as it is, without a stand-in: no part of it is closed but a directory that is not there."""
    found = seen(instances=str(tmp_path))
    assert found.parts == dict.fromkeys(PARTS, "")
    closed = seen(instances=str(tmp_path / "none")).parts
    assert {part for part, why in closed.items() if why} == {"directories"}


# -- Open vSwitch's own database


def test_real_interfaces_of_open_vswitch(tree: HostTree) -> None:
    """A real ovsdb-server and its real client, with the columns of the schema that are read."""
    if why := ovn_servers.why_not():
        pytest.skip(why)
    place, port = tree.root / "run/openvswitch", str(uuid.uuid4())
    place.mkdir(parents=True)
    schema, database = tree.root / "schema", tree.root / "conf.db"
    schema.write_text(json.dumps(_INTERFACES))
    ovn_servers.run("ovsdb-tool", "create", str(database), str(schema))
    server = ovn_servers.OvsdbServer(place, "db", [database])
    try:
        rows = [("qvo" + port[:11], ["map", [["iface-id", port], ["vm-uuid", "x"]]]), ("br-int", ["map", []])]
        inserts = [
            {"op": "insert", "table": "Interface", "row": {"name": name, "external_ids": ids}} for name, ids in rows
        ]
        ovn_servers.run("ovsdb-client", "transact", server.remote, json.dumps(["Open_vSwitch", *inserts]))
        environment = ovn_servers._environment()["LD_LIBRARY_PATH"]
        client = ovn_servers._program("ovsdb-client")
        tree.program("ovsdb-client", f'LD_LIBRARY_PATH={environment} exec {client} "$@"')
        found = seen(tree)
        assert found.parts["links"] == ""
        assert found.links == (Link(name=f"qvo{port[:11]}", stem=port[:11], port=port),)
    finally:
        server.close()
    closed = seen(tree).parts["links"]
    assert closed.startswith("ovsdb-client")


def test_a_client_that_hangs_closes_its_part_alone(tree: HostTree) -> None:
    """It is ended after five seconds; what else the host has is read."""
    tree.ovs({})
    tree.program("ovsdb-client", "exec sleep 60")
    tree.namespace(name := f"qdhcp-{uuid.uuid4()}")
    begin = time.monotonic()
    found = seen(tree)
    assert time.monotonic() - begin < 30
    assert "ovsdb-client ended with 124" in found.parts["links"]
    assert [one.name for one in found.namespaces] == [name]
    assert {part for part, why in found.parts.items() if why} == {"links"}


@pytest.mark.parametrize("answer", ['[{"error":"unknown database"}]', "{}", "", '[{"rows":[{"name":"x"}]}]'])
def test_an_answer_that_is_not_understood_is_no_answer(tree: HostTree, answer: str) -> None:
    """The part was not read; it is never taken for a host without interfaces."""
    tree.ovs({})
    tree.program("ovsdb-client", f"cat <<'E'\n{answer}\nE")
    assert "not understood" in seen(tree).parts["links"]


# -- recorded text: block devices and profiles


def test_sessions_and_maps(tree: HostTree) -> None:
    """Targets of volumes and of arrays; maps with their paths, whether they are open, and where they lead."""
    volume, unit = str(uuid.uuid4()), "6001405a9d3f1c2b7e84d0f9a1b2c3d4"
    tree.session(1, f"iqn.2010-10.org.openstack:volume-{volume}")
    tree.session(2, "iqn.2010-06.com.purestorage:flasharray.3f1", disks=3, state="FAILED")
    tree.map(0, f"3{unit}", f"mpath-3{unit}", {"sda": ("running", f"naa.{unit}"), "sdb": ("offline", "")})
    tree.map(1, "crypt-x", "CRYPT-LUKS2-0123-crypt-x", {"dm-0": ("", "")}, opened=2)
    tree.map(2, "vg-root", "LVM-abc", {})
    found = seen(tree)
    assert found.sessions == (
        Session(name="session1", target=f"iqn.2010-10.org.openstack:volume-{volume}", state="LOGGED_IN", disks=1,
                volume=volume),
        Session(name="session2", target="iqn.2010-06.com.purestorage:flasharray.3f1", state="FAILED", disks=3),
    )  # fmt: skip
    first, second = found.maps
    assert (first.kind, first.unit, first.opened, first.mixed) == ("multipath", f"3{unit}", 0, False)
    assert first.paths == (
        MapPath(name="sda", state="running", unit=f"naa.{unit}"),
        MapPath(name="sdb", state="offline", unit=""),
    )
    assert (second.kind, second.name, second.opened, second.holders) == ("crypt", "crypt-x", 2, 0)


@pytest.mark.parametrize(
    ("unit", "units", "mixed"),
    [
        ("36001", ("naa.6001", "naa.6001"), False),
        ("36001", ("naa.6001", ""), False),
        ("36001", ("naa.6001", "naa.6002"), True),
        ("36001", ("naa.6002", "naa.6002"), True),
        ("2abcd", ("eui.abcd",), False),
        ("1ATA_X", ("t10.ATA     X",), False),
        ("mpath-by-vendor", ("naa.6001",), False),
    ],
)
def test_a_mixture(unit: str, units: tuple[str, ...], mixed: bool) -> None:
    """Paths are compared with one another, and with the name of their map where that has the same kind of id."""
    paths = tuple(MapPath(name=f"sd{n}", state="running", unit=one) for n, one in enumerate(units))
    assert (
        BlockMap(name="m", device="dm-0", kind="multipath", unit=unit, paths=paths, holders=0, opened=0).mixed is mixed
    )


def test_profiles_of_all_guests_at_once(tree: HostTree) -> None:
    """Each with its own verdict, as of one guest alone (:mod:`stackmend.hosts.apparmor`)."""
    with_rule, without, refused, off = (str(uuid.uuid4()) for _ in range(4))
    tree.guest(with_rule, "instance-1", '"/dev/vhost-net" rw,')
    tree.guest(without, "instance-2")
    tree.guest(refused, "instance-3")
    tree.denied(refused)
    tree.guest(off, "instance-4", mode="complain")
    found = {one.server: one.verdict for one in seen(tree).profiles}
    assert found == {with_rule: "allowed", without: "lacking", refused: "denied", off: "no-profile"}
    assert all(one.device for one in seen(tree).profiles)


def test_a_host_without_apparmor_has_no_profiles(tree: HostTree) -> None:
    """That is an answer, not a part that is closed."""
    tree.write("sys/module/apparmor/parameters/enabled", "N\n")
    found = seen(tree)
    assert (found.profiles, found.parts["profiles"]) == ((), "")


def test_what_is_unreachable_closes_every_part() -> None:
    """Nothing is known, and the reason is that of the transport."""
    found = traces.beside(Transport(Routes()), "c1", traces.Place(instances="/x"))
    assert set(found.parts) == set(PARTS)
    assert all("no access to c1 is configured" in why for why in found.parts.values())


def test_nothing_on_the_host_is_changed(tree: HostTree) -> None:
    """Every file reads and is dated as before."""
    tree.session(1, "iqn.2010-06.com.purestorage:flasharray.3f1")
    tree.map(0, "36001", "mpath-36001", {"sda": ("running", "naa.6001")})
    tree.guest(str(uuid.uuid4()), "instance-1")
    tree.directory(f"{uuid.uuid4()}_resize")
    listed = ("sh", "-c", f"cd {tree.root} && find . -printf '%p %T@ %s %m\\n' | sort")
    before = subprocess.run(listed, capture_output=True, check=True).stdout
    assert seen(tree).directories != ()
    assert subprocess.run(listed, capture_output=True, check=True).stdout == before
