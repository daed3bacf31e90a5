# SPDX-License-Identifier: Apache-2.0
"""Relocation by database on the real services: a killed host, relocation, undo, start, and the host's return."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import NETWORKS, create_server, wait, wait_server, wait_volume

from .using import Thing

HOST, TO = "c01", "c02"
CELL = "cell:cell1"
#: runs nova-manage with the configuration of a control node and of the new host,
#: and provides an iSCSI name, for which Cinder asks: this machine need not have one
WRAPPER = """#!/bin/sh
if [ "$2" = get_connector ]; then
    echo '{{"host": "{host}", "ip": "127.0.0.1", "initiator": "iqn.2010-10.org.openstack:{host}", "multipath": false}}'
    exit
fi
export PATH=$PATH:{services}/bin
cd {etc}
exec {services}/bin/nova-manage --config-file manage-cell1.conf --config-file compute-{host}.conf "$@"
"""


@dataclass
class Site:
    """A lab with a server on a host that will die, and a terminal."""

    plane: Plane
    folder: Path
    read: pytest.CaptureFixture[str]
    servers: list[str] = field(default_factory=list)

    def toml(self) -> Path:
        """The lab's configuration, plus access to its new host."""
        lab = self.plane.layout
        wrapper = WRAPPER.format(services=lab.services, etc=lab.configuration, host=TO)
        program = self.folder / "nova-manage"
        program.write_text(wrapper)
        program.chmod(0o755)
        path = lab.folder / "relocate.toml"
        words = json.dumps(["env", f"PATH={self.folder}:/usr/sbin:/usr/bin:/sbin:/bin"])
        hosts = f'[hosts]\ntransport = "local"\nlocal = ["{TO}"]\ncontainer = {words}\n'
        path.write_text(f"{self.plane.toml.read_text()}\n{hosts}")
        path.chmod(0o600)
        return path

    def type(self, *words: str) -> tuple[int, Any, str]:
        """Run a command; returns exit code, document and messages."""
        self.read.readouterr()
        code = main(["--config", str(self.toml()), *words, "-f", "json"])
        captured = self.read.readouterr()
        return code, json.loads(captured.out or "null"), captured.err

    def relocate(self, *words: str) -> str:
        """Relocate the server; returns the run."""
        names = [word for server in self.servers for word in ("--server", server)]
        code, document, err = self.type(
            "host", "relocate", HOST, "--to", TO, "--allow-db", "--fenced", "--shared", *names, *words, "--yes",
            "--accept", "all",
        )  # fmt: skip
        assert code == Exit.REPAIRED, (err, document)
        return str(document["run"])

    def row(self, server: str) -> dict[str, Any]:
        """The server's row."""
        return self.plane.sql(CELL, "SELECT * FROM instances WHERE uuid = %s", [server])[0]

    def rows(self, server: str) -> dict[str, Any]:
        """Everything about a server that a relocation by rows changes, except counters."""
        port = "SELECT id FROM ports WHERE device_id = %s"
        asked = {
            "instances": (CELL, "SELECT * FROM instances WHERE uuid = %s"),
            "migrations": (CELL, "SELECT * FROM migrations WHERE instance_uuid = %s"),
            "actions": (CELL, "SELECT * FROM instance_actions WHERE instance_uuid = %s"),
            "cache": (CELL, "SELECT * FROM instance_info_caches WHERE instance_uuid = %s"),
            "mappings": (CELL, "SELECT * FROM block_device_mapping WHERE instance_uuid = %s"),
            "bindings": ("neutron", f"SELECT * FROM ml2_port_bindings WHERE port_id IN ({port})"),
            "levels": ("neutron", f"SELECT * FROM ml2_port_binding_levels WHERE port_id IN ({port})"),
            "ports": ("neutron", "SELECT * FROM ports WHERE device_id = %s"),
            "allocations": ("placement", "SELECT * FROM allocations WHERE consumer_id = %s"),
            "attachments": ("cinder", "SELECT * FROM volume_attachment WHERE instance_uuid = %s"),
        }
        return {name: self.plane.sql(database, sql, [server]) for name, (database, sql) in asked.items()}

    def record(self, server: str) -> str:
        """The status of the evacuation record."""
        sql = "SELECT status FROM migrations WHERE instance_uuid = %s AND migration_type = 'evacuation' ORDER BY id"
        return str(self.plane.sql(CELL, sql, [server])[-1]["status"])

    def die(self) -> None:
        """Kill the host and wait until Nova has noticed."""
        self.plane.kill(f"nova-compute-{HOST}")
        cloud: Any = self.plane.connect()

        def down() -> bool:
            return next(iter(cloud.compute.services(host=HOST, binary="nova-compute"))).state == "down"

        wait(down, f"{HOST} to be taken for dead", 120)


@pytest.fixture
def site(plane: Plane, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    """The lab; at the end, everything created in it is deleted and the host is back."""
    made = Site(plane, tmp_path, capsys)
    cloud: Any = plane.connect()
    yield made
    if next(one for one in plane.status() if one.name == f"nova-compute-{HOST}").state != "running":
        plane.start(f"nova-compute-{HOST}")
    plane.force_down(HOST, False)
    plane.wait()
    for server in made.servers:
        volumes = [one.volume_id for one in cloud.compute.volume_attachments(server)]
        cloud.compute.delete_server(server)
        wait(lambda name=server: cloud.compute.find_server(name) is None, f"server {server} to be gone")
        for volume in volumes:
            wait_volume(cloud, volume)
            cloud.block_storage.delete_volume(volume)


def build(site: Site) -> Thing:
    """Create a server on the host with two NICs, one of them created by its owner, and a volume."""
    cloud: Any = site.plane.connect()
    nets = [cloud.network.find_network(name).id for name in NETWORKS]
    name = f"relocate-{uuid.uuid4().hex[:6]}"
    own = cloud.network.create_port(name=f"{name}-port", network_id=nets[0])
    server = create_server(cloud, name, [{"port": own.id}, {"uuid": nets[1]}], f"nova:{HOST}")
    site.servers.append(server)
    wait_server(cloud, server)
    volume = cloud.block_storage.create_volume(name=name, size=1)
    wait_volume(cloud, volume.id)
    cloud.compute.create_volume_attachment(server, volume_id=volume.id)
    wait_volume(cloud, volume.id, "in-use")
    return Thing(site.plane, {"server": server, "volume": volume.id})


def test_a_killed_host_is_relocated_and_comes_back(site: Site) -> None:
    """By rows and undone exactly; then by the APIs and started by Nova; the old host removes its stale guest."""
    thing = build(site)
    server, plane = thing.server, site.plane
    site.die()
    before = site.rows(server)

    run = site.relocate("--via", "db")
    assert (site.row(server)["host"], site.row(server)["vm_state"]) == (TO, "stopped")
    # the new host's power state sync finds no guest and writes nothing
    code, _, err = site.type("run", "undo", run, "--yes")
    assert code == Exit.CLEAN, err
    assert site.rows(server) == before

    plane.force_down(HOST, False)
    run = site.relocate()
    assert site.row(server)["host"] == TO
    assert server in plane.guests(TO)
    assert server in plane.guests(HOST), "its stale guest is still there"
    thing.whole()
    assert thing.attached_on() == {TO}
    assert site.record(server) == "done"
    code, _, _ = site.type("volume", "list", "--host", TO)
    assert code == Exit.CLEAN
    started = site.rows(server)
    code, _, err = site.type("run", "undo", run, "--yes")
    assert code == Exit.STOPPED
    assert site.rows(server) == started, err

    plane.start(f"nova-compute-{HOST}")
    wait(lambda: site.record(server) == "completed", "the record to be completed", 120)
    assert server not in plane.guests(HOST)
    assert server in plane.guests(TO)
    plane.force_down(HOST, False)
    plane.wait()
    thing.whole()
    thing.reboot()
    thing.whole()
    thing.move()
    thing.whole()
    assert thing.attached_on() == {thing.host()}


@pytest.mark.long
def test_undo_before_the_first_start_by_the_apis(site: Site) -> None:
    """Minutes later, after the new host has looked at its guests, rows, ports and allocations are restored."""
    cloud: Any = site.plane.connect()
    network = cloud.network.find_network(next(iter(NETWORKS))).id
    server = create_server(cloud, f"relocate-{uuid.uuid4().hex[:6]}", [{"uuid": network}], f"nova:{HOST}")
    site.servers.append(server)
    wait_server(cloud, server)
    thing = Thing(site.plane, {"server": server})
    site.die()
    before = site.row(server)
    run = site.relocate("--no-boot")
    seen = site.row(server)
    synced = "SELECT updated_at FROM compute_nodes WHERE host = %s AND deleted = 0"
    first = site.plane.sql(CELL, synced, [TO])[0]["updated_at"]
    wait(lambda: site.plane.sql(CELL, synced, [TO])[0]["updated_at"] != first, "the new host to look at itself", 120)
    assert site.row(server) == seen
    code, document, err = site.type("run", "undo", run, "--yes")
    assert code == Exit.CLEAN, (err, document)
    assert site.row(server) == before
    assert thing.providers() == {HOST}
    assert {port.binding_host_id for port in cloud.network.ports(device_id=server)} == {HOST}
    site.plane.start(f"nova-compute-{HOST}")
    site.plane.force_down(HOST, False)
    site.plane.wait()
    assert server in site.plane.guests(HOST)
    thing.reboot()
    thing.whole()
