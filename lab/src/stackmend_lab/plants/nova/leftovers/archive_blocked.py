# SPDX-License-Identifier: Apache-2.0
"""Deleted servers that cannot be archived (catalogue B14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend.tables.releases import RELEASES
from stackmend_lab.cloud import AbsentError, CloudRows, Server


def _forgotten(cloud: CloudRows) -> None:
    """AbsentError where Nova still has models of these tables, and archives their rows with the server."""
    if RELEASES.index(cloud.release) < RELEASES.index("yoga"):
        raise AbsentError(f"nova of {cloud.release} archives the rows of these tables with the server")


def _address(cloud: CloudRows, server: Server) -> None:
    number = int(server.uuid[-6:], 16)
    address = f"192.168.{number // 250 % 250}.{number % 250}"
    cloud.insert(
        server.database, "fixed_ips", address=address, instance_uuid=server.uuid, allocated=0, leased=0, reserved=0,
        deleted=0,
    )  # fmt: skip


def plant(cloud: CloudRows) -> dict[str, Any]:
    """An address of nova-network was never released."""
    _forgotten(cloud)
    server = cloud.pick("deleted")
    _address(cloud, server)
    return {"server": server.uuid, "cell": server.cell}


def console(cloud: CloudRows) -> dict[str, Any]:
    """A console of XenAPI was never deleted."""
    _forgotten(cloud)
    server = cloud.pick("deleted")
    cloud.insert(
        server.database, "consoles", instance_name="instance-1", instance_uuid=server.uuid, password="console-secret",
        port=5900, deleted=0,
    )  # fmt: skip
    return {"server": server.uuid, "cell": server.cell}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"console": console}


def of_a_live_server(cloud: CloudRows) -> None:
    """A live server is not archived."""
    _address(cloud, cloud.pick("active"))


def just_deleted(cloud: CloudRows) -> None:
    """A server deleted a minute ago."""
    server = cloud.pick("deleted")
    _address(cloud, server)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, deleted_at=cloud.ago(60))


def deleted(cloud: CloudRows) -> None:
    """A deleted server that nothing refers to."""
    cloud.pick("deleted")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "of_a_live_server": of_a_live_server,
    "just_deleted": just_deleted,
    "deleted": deleted,
}
