# SPDX-License-Identifier: Apache-2.0
"""Every operation on the fake: what the fake says is what the real services say, by the same tests on the lab."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.session import ApiSession
from stackmend_lab.cloud import Cloud, Server
from stackmend_lab.plants._networks import drop_port, new_network, new_port, other_host, port_of, vifs
from stackmend_lab.plants._volumes import attach, new_volume
from stackmend_lab.plants.cinder.volume_stuck_error_deleting import new_snapshot

from .conftest import HandClock
from .fake import Fake
from .operations import Guest, Operations, World


class FakeWorld:
    """Things in the embedded cloud."""

    def __init__(self, cloud: Cloud, executor: ApiExecutor, session: ApiSession, clock: HandClock) -> None:
        self.cloud, self.executor, self.session, self.clock = cloud, executor, session, clock
        self._database = ""

    def guest(self) -> Guest:
        server = self.cloud.pick("active")
        self._database = server.database
        macs = tuple(str(vif["address"]) for vif in vifs(self.cloud, server))
        return Guest(server.uuid, str(server.host), server.ports, macs, other_host(self.cloud, server))

    def leftover(self, guest: Guest) -> str:
        return new_port(
            self.cloud, self._server(guest), str(uuid.uuid4()), self.cloud.ago(9000), guest.host, status="ACTIVE"
        )

    def _server(self, guest: Guest) -> Server:
        return next(server for server in self.cloud.servers("active") if server.uuid == guest.id)

    def volume(self, status: str = "available") -> str:
        return new_volume(self.cloud, status=status)

    def snapshot(self, status: str = "available") -> str:
        name: str = new_snapshot(self.cloud, new_volume(self.cloud))
        self.cloud.update("cinder", "snapshots", {"id": name}, status=status)
        return name

    def attached(self, guest: Guest) -> tuple[str, str]:
        volume = new_volume(self.cloud)
        return volume, attach(self.cloud, self._server(guest), volume)[0]

    def consumer(self) -> str:
        server = self.cloud.pick("active")
        name = str(uuid.uuid4())
        for table, column in (("allocations", "consumer_id"), ("consumers", "uuid")):
            self.cloud.update("placement", table, {column: server.uuid}, **{column: name})
        return name

    def shared(self) -> str:
        entry = str(uuid.uuid4())
        row = {"project_id": uuid.uuid4().hex, "target_project": uuid.uuid4().hex, "action": "access_as_shared"}
        self.cloud.insert("neutron", "networkrbacs", id=entry, object_id=new_network(self.cloud)[0], **row)
        return entry

    def key_pair(self) -> tuple[str, str]:
        user = uuid.uuid4().hex
        values = {"fingerprint": "d4:1d", "type": "ssh", "public_key": "ssh-ed25519 AAAA"}
        self.cloud.insert("nova_api", "key_pairs", name="laptop 1", user_id=user, **values)
        return user, "laptop 1"

    def lose_port(self, port: str) -> None:
        assert port_of(self.cloud, port)
        drop_port(self.cloud, port)

    def set(self, database: str, table: str, where: dict[str, Any], **values: Any) -> None:
        self.cloud.update(self._database if database == "cell" else database, table, where, **values)


@pytest.fixture
def world(built: Cloud, fake: Fake, executor: ApiExecutor, session: ApiSession, clock: HandClock) -> World:
    """The fake."""
    assert json.loads(fake.clouds_yaml().read_text())
    return FakeWorld(built, executor, session, clock)


class TestFake(Operations):
    """On the fake."""
