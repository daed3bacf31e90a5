# SPDX-License-Identifier: Apache-2.0
"""Every operation of the API executor on the real services, and what the other tests' fake cannot show."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from stackmend.app.apis import SystemClock
from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.session import ApiSession
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait, wait_server, wait_volume

from ...drivers.api.operations import Guest, Operations, World

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f rehearsal"


class LabWorld:
    """Objects on the real services; all of them are deleted at the end."""

    def __init__(self, plane: Plane) -> None:
        self.plane, self.clock = plane, SystemClock()
        self.sdk: Any = plane.connect()
        self.session = ApiSession.open("lab", plane.clouds_yaml)
        self.executor = ApiExecutor(lambda: self.session, self.clock)
        self._servers: list[str] = []
        self._volumes: list[str] = []
        self._snapshots: list[str] = []

    def guest(self) -> Guest:
        first, second = self.plane.hosts[:2]
        network = self.sdk.network.find_network("net1")
        name = f"operation-{uuid.uuid4().hex[:6]}"
        server = create_server(self.sdk, name, [{"uuid": network.id}], f"nova:{first}")
        self._servers.append(server)
        wait_server(self.sdk, server)
        ports = list(self.sdk.network.ports(device_id=server))
        return Guest(server, first, tuple(p.id for p in ports), tuple(p.mac_address for p in ports), second)

    def leftover(self, guest: Guest) -> str:
        network = self.sdk.network.find_network("net1")
        port = self.sdk.network.create_port(
            network_id=network.id, device_id=str(uuid.uuid4()), device_owner="compute:nova", binding_host_id=guest.host
        )
        return str(port.id)

    def volume(self, status: str = "available") -> str:
        volume = self.sdk.block_storage.create_volume(size=1, name="operation")
        self._volumes.append(volume.id)
        wait_volume(self.sdk, volume.id)
        if status != "available":
            self.set("cinder", "volumes", {"id": volume.id}, status=status)
        return str(volume.id)

    def snapshot(self, status: str = "available") -> str:
        snapshot = self.sdk.block_storage.create_snapshot(volume_id=self.volume(), name="operation")
        self._snapshots.append(snapshot.id)
        self.sdk.block_storage.wait_for_status(snapshot, "available", wait=60)
        if status != "available":
            self.set("cinder", "snapshots", {"id": snapshot.id}, status=status)
        return str(snapshot.id)

    def attached(self, guest: Guest) -> tuple[str, str]:
        volume = self.volume()
        self.sdk.compute.create_volume_attachment(guest.id, volume_id=volume)
        wait_volume(self.sdk, volume, "in-use")
        alive = "SELECT id FROM volume_attachment WHERE volume_id = %s AND deleted = 0"
        return volume, str(self.plane.sql("cinder", alive, [volume])[0]["id"])

    def consumer(self) -> str:
        name = str(uuid.uuid4())
        provider = next(self.sdk.placement.resource_providers(name=self.plane.hosts[0])).id
        project = self.sdk.current_project_id
        body = {
            "allocations": {provider: {"resources": {"VCPU": 1, "MEMORY_MB": 64}}}, "consumer_generation": None,
            "project_id": project, "user_id": self.sdk.current_user_id,
        }  # fmt: skip
        answer = self.sdk.placement.put(f"/allocations/{name}", json=body, microversion="1.28")
        assert answer.status_code == 204, answer.text
        return name

    def shared(self) -> str:
        entry = self.sdk.network.create_rbac_policy(
            object_type="network", object_id=self.sdk.network.find_network("net1").id, action="access_as_shared",
            target_project_id=uuid.uuid4().hex,
        )  # fmt: skip
        return str(entry.id)

    def key_pair(self) -> tuple[str, str]:
        user, name = uuid.uuid4().hex, "laptop 1"
        body = {"keypair": {"name": name, "type": "ssh", "public_key": PUBLIC_KEY, "user_id": user}}
        answer = self.sdk.compute.post("/os-keypairs", json=body, microversion="2.10")
        assert answer.status_code == 201, answer.text
        return user, name

    def lose_port(self, port: str) -> None:
        where = "(SELECT standard_attr_id FROM ports WHERE id = %s)"
        self.plane.sql("neutron", f"DELETE FROM standardattributes WHERE id = {where}", [port])

    def set(self, database: str, table: str, where: dict[str, Any], **values: Any) -> None:
        name = "cell:cell1" if database == "cell" else database
        sets = ", ".join(f"{column} = %s" for column in values)
        terms = " AND ".join(f"{column} = %s" for column in where)
        self.plane.sql(name, f"UPDATE {table} SET {sets} WHERE {terms}", [*values.values(), *where.values()])

    def close(self) -> None:
        for server in filter(self.sdk.compute.find_server, self._servers):
            self.sdk.compute.delete_server(server, force=True)
        for server in self._servers:
            wait(lambda name=server: self.sdk.compute.find_server(name) is None, f"server {server} to be gone")
        for snapshot in filter(self.sdk.block_storage.find_snapshot, self._snapshots):
            self.set("cinder", "snapshots", {"id": snapshot}, status="available")
            self.sdk.block_storage.delete_snapshot(snapshot)
            wait(lambda name=snapshot: self.sdk.block_storage.find_snapshot(name) is None, f"snapshot {snapshot} to go")
        for volume in filter(self.sdk.block_storage.find_volume, self._volumes):
            self.sdk.block_storage.reset_volume_status(volume, status="error", attach_status="detached")
            self.sdk.block_storage.delete_volume(volume)
        self.executor.close()
        self.sdk.close()


@pytest.fixture
def world(plane: Plane, request: pytest.FixtureRequest) -> Iterator[World]:
    """The lab; if the tales were requested, they run at the same time."""
    if any("told" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("told")
    made = LabWorld(plane)
    yield made
    made.close()


class TestReal(Operations):
    """On the real services."""
