# SPDX-License-Identifier: Apache-2.0
"""Empty caches of servers that await their reclaim (catalogue A1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import busy, changed, free_port, nic_rows, write


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The cache was empty when the server was deleted."""
    server = cloud.pick("soft_deleted")
    write(cloud, server, "[]")
    return {"server": server.uuid}


def premade(cloud: CloudRows) -> dict[str, Any]:
    """The port is the customer's own, and the document is NULL."""
    server = cloud.pick("soft_deleted")
    cloud.update("neutron", "ports", {"id": server.ports[0]}, name="address of the mail server")
    write(cloud, server, None)
    return {"server": server.uuid}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"premade": premade}


def no_nic(cloud: CloudRows) -> None:
    """The server has no ports left."""
    server = cloud.pick("soft_deleted")
    for row in nic_rows(cloud, server):
        values = {"deleted": row["id"], "deleted_at": cloud.ago(86400)}
        cloud.update(server.database, "virtual_interfaces", {"id": row["id"]}, **values)
    free_port(cloud, server.ports[0])
    write(cloud, server, "[]")


def being_reclaimed(cloud: CloudRows) -> None:
    """nova-compute is deleting it."""
    server = cloud.pick("soft_deleted")
    write(cloud, server, "[]")
    busy(cloud, server, "deleting")


def just_deleted(cloud: CloudRows) -> None:
    """It was deleted a minute ago."""
    server = cloud.pick("soft_deleted")
    write(cloud, server, "[]")
    changed(cloud, server)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "no_nic": no_nic,
    "being_reclaimed": being_reclaimed,
    "just_deleted": just_deleted,
}
