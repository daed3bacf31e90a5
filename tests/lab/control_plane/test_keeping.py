# SPDX-License-Identifier: Apache-2.0
"""Ports that outlive their servers, on the real Nova and Neutron."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stackmend_lab.breaks._past import let_time_pass
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait, wait_server

from ...drivers.api.keeping import Keeping, Shown


class LabSite:
    """The real services; whatever is created there is deleted at the end."""

    def __init__(self, plane: Plane) -> None:
        self.plane, self.toml = plane, Path(plane.toml)
        self.sdk: Any = plane.connect()
        self.servers: list[str] = []
        self.ports: list[str] = []

    def server(self) -> tuple[str, str]:
        network = self.sdk.network.find_network("net1")
        name = f"kept-{uuid.uuid4().hex[:6]}"
        server = create_server(self.sdk, name, [{"uuid": network.id}], f"nova:{self.plane.hosts[0]}")
        self.servers.append(server)
        wait_server(self.sdk, server)
        (port,) = [str(one.id) for one in self.sdk.network.ports(device_id=server)]
        self.ports.append(port)
        self.rest(server)
        return server, port

    def rest(self, server: str) -> None:
        let_time_pass(self.plane, servers=[server])

    def delete(self, server: str) -> None:
        self.sdk.compute.delete_server(server)
        wait(lambda: self.sdk.compute.find_server(server) is None, f"server {server} to be gone")

    def lose(self, server: str) -> None:
        self.set(server, deleted=1)

    def started_without_nics(self, server: str) -> None:
        self.plane.sql("neutron", "UPDATE ports SET status = 'DOWN' WHERE device_id = %s", [server])
        empty = "UPDATE instance_info_caches SET network_info = '[]' WHERE instance_uuid = %s"
        self.plane.sql("cell:cell1", empty, [server])
        self.sdk.compute.reboot_server(server, "HARD")
        wait(lambda: self.sdk.compute.get_server(server).task_state is None, f"server {server} to be rebooted")
        wait_server(self.sdk, server)
        self.rest(server)

    def port(self, port: str) -> Shown | None:
        found = self.sdk.network.find_port(port)
        if found is None:
            return None
        addresses = sorted(one["ip_address"] for one in found.fixed_ips)
        return {"id": port, "device_id": found.device_id, "device_owner": found.device_owner,
                "host": found.binding_host_id or "", "addresses": addresses, "dns_name": found.dns_name}  # fmt: skip

    def set(self, server: str, **values: Any) -> None:
        sets = ", ".join(f"{column} = %s" for column in values)
        self.plane.sql("cell:cell1", f"UPDATE instances SET {sets} WHERE uuid = %s", [*values.values(), server])

    def clear(self) -> None:
        """Delete everything that was created."""
        from openstack.exceptions import NotFoundException

        for server in self.servers:
            self.plane.sql("cell:cell1", "UPDATE instances SET deleted = 0 WHERE uuid = %s AND deleted = 1", [server])
            with suppress(NotFoundException):
                self.sdk.compute.delete_server(server, ignore_missing=False)
            wait(lambda one=server: self.sdk.compute.find_server(one) is None, f"server {server} to be gone")
        for port in self.ports:
            self.sdk.network.delete_port(port)
        self.sdk.close()


class TestKeeping(Keeping):
    """Keeping ports on the real services."""

    @pytest.fixture
    def site(self, plane: Plane) -> Iterator[LabSite]:
        """The lab, with servers of its own."""
        site = LabSite(plane)
        yield site
        site.clear()
