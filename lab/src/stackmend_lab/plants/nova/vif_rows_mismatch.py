# SPDX-License-Identifier: Apache-2.0
"""Rows of NICs that do not match the ports (catalogue A9)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import new_port, touch


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A server older than Newton, never migrated: a port without a row."""
    server = cloud.pick("active")
    cloud.delete(server.database, "virtual_interfaces", {"uuid": server.ports[0]})
    return {"server": server.uuid}


def surplus(cloud: CloudRows) -> dict[str, Any]:
    """A detach stopped after the port was unbound: it belongs to its user, and cannot be attached again."""
    server = cloud.pick("active")
    port = new_port(cloud, server, name="of-a-user", device_id="", device_owner="")
    _row(cloud, server, port, f"fa:22:00:00:00:04/{port}")
    return {"server": server.uuid}


def leftover(cloud: CloudRows) -> dict[str, Any]:
    """The port was deleted while it was attached: Nova leaves the row."""
    server, port = cloud.pick("active"), str(uuid.uuid4())
    _row(cloud, server, port, f"fa:22:00:00:00:01/{port}")
    return {"server": server.uuid}


def bare_address(cloud: CloudRows) -> dict[str, Any]:
    """The address has the form of old releases."""
    server = cloud.pick("stopped")
    port = server.ports[0]
    address = ":".join(["fa", "22", *(port[n : n + 2] for n in (0, 2, 4, 6))])
    cloud.update(server.database, "virtual_interfaces", {"uuid": port}, address=address)
    return {"server": server.uuid}


def mismarked(cloud: CloudRows) -> dict[str, Any]:
    """SQL from a blog post: deleted=1 on a NIC that is in use."""
    server = cloud.pick("active")
    cloud.execute(
        server.database,
        "UPDATE virtual_interfaces SET deleted = CASE WHEN id = 1 THEN 2 ELSE 1 END WHERE uuid = :p",
        {"p": server.ports[0]},
    )
    return {"server": server.uuid}


def _row(cloud: CloudRows, server: Server, port: str, address: str) -> int:
    return int(
        cloud.insert(
            server.database, "virtual_interfaces", uuid=port, address=address, instance_uuid=server.uuid, deleted=0,
            created_at=cloud.ago(7200),
        )
    )  # fmt: skip


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "surplus": surplus,
    "leftover": leftover,
    "bare_address": bare_address,
    "mismarked": mismarked,
}


def detached_long_ago(cloud: CloudRows) -> None:
    """A row marked deleted with its own id: the port was detached normally."""
    server, port = cloud.pick("active"), str(uuid.uuid4())
    row = _row(cloud, server, port, f"fa:22:00:00:00:03/{port}")
    cloud.update(server.database, "virtual_interfaces", {"id": row}, deleted=row, deleted_at=cloud.ago(3600))


def being_attached(cloud: CloudRows) -> None:
    """The row is not written yet: the server was changed a moment ago."""
    server = cloud.pick("active")
    cloud.delete(server.database, "virtual_interfaces", {"uuid": server.ports[0]})
    touch(cloud, server, 20)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "detached_long_ago": detached_long_ago,
    "being_attached": being_attached,
}
