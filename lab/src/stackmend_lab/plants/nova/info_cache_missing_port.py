# SPDX-License-Identifier: Apache-2.0
"""Caches that list some NICs of a server but not another (catalogue A4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import (
    OLD,
    attribute,
    busy,
    cache,
    changed,
    new_nic_row,
    new_port,
    port_of,
    vifs,
    write,
)


def _without(cloud: CloudRows, server: Server, port: str) -> dict[str, Any]:
    write(cloud, server, json.dumps([vif for vif in vifs(cloud, server) if vif["id"] != port]))
    return {"server": server.uuid, "port": port}


def _one_more(cloud: CloudRows, server: Server, **values: Any) -> str:
    """Add a NIC: a port bound to the server's host, with its row, but not in the cache."""
    port = new_port(cloud, server, server.uuid, cloud.ago(2 * OLD), host=server.host or "", **values)
    new_nic_row(cloud, server, port, address=f"{port_of(cloud, port)['mac_address']}/{port}")
    return port


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The cache was emptied, then a NIC was attached: two of three are listed again, one is still missing."""
    server = cloud.pick("multi_nic")
    return _without(cloud, server, server.ports[1])


def premade(cloud: CloudRows) -> dict[str, Any]:
    """The port is the customer's own, created before the server: it would be deleted with it."""
    server = cloud.pick("multi_nic")
    port = server.ports[0]
    cloud.update("neutron", "ports", {"id": port}, name="address of the mail server")
    attribute(cloud, port, created_at=cloud.ago(600 * 86400))
    return _without(cloud, server, port)


def working(cloud: CloudRows) -> dict[str, Any]:
    """Nova has no row of it, but it is ACTIVE on the server's host."""
    server = cloud.pick("active")
    port = new_port(cloud, server, server.uuid, cloud.ago(OLD), host=str(server.host), status="ACTIVE")
    return {"server": server.uuid, "port": port}


def stopped(cloud: CloudRows) -> dict[str, Any]:
    """The server is off, its ports are DOWN: the row is the evidence."""
    server = cloud.pick("stopped")
    return {"server": server.uuid, "port": _one_more(cloud, server)}


def shelved(cloud: CloudRows) -> dict[str, Any]:
    """Shelved and offloaded: its ports are not bound."""
    server = cloud.pick("shelved_offloaded")
    return {"server": server.uuid, "port": _one_more(cloud, server)}


def soft_deleted(cloud: CloudRows) -> dict[str, Any]:
    """Reclaiming the server would delete the port, whoever created it."""
    server = cloud.pick("soft_deleted")
    return {"server": server.uuid, "port": _one_more(cloud, server)}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "premade": premade,
    "working": working,
    "stopped": stopped,
    "shelved": shelved,
    "soft_deleted": soft_deleted,
}


def building(cloud: CloudRows) -> None:
    """A server being built: its ports come one after another."""
    server = cloud.pick("building")
    _one_more(cloud, server)


def being_attached(cloud: CloudRows) -> None:
    """A NIC is being attached: port and row exist, the cache follows."""
    server = cloud.pick("active")
    attribute(cloud, _one_more(cloud, server), updated_at=cloud.ago(60))


def just_written(cloud: CloudRows) -> None:
    """Nova wrote the cache a minute ago."""
    server = cloud.pick("active")
    _one_more(cloud, server)
    where = {"id": cache(cloud, server)["id"]}
    cloud.update(server.database, "instance_info_caches", where, updated_at=cloud.ago(60))


def just_changed(cloud: CloudRows) -> None:
    """Nova wrote the server a minute ago."""
    server = cloud.pick("active")
    _one_more(cloud, server)
    changed(cloud, server)


def server_busy(cloud: CloudRows) -> None:
    """An operation on the server is in progress."""
    server = cloud.pick("active")
    _one_more(cloud, server)
    busy(cloud, server)


def hidden_copy(cloud: CloudRows) -> None:
    """The hidden half of a cross-cell resize has its own cache, which is never read."""
    server = cloud.pick("cross_cell")
    for database in cloud.databases:
        if database.startswith("cell:"):
            hidden = "SELECT uuid FROM instances WHERE uuid = :u AND hidden = 1"
            if cloud.rows(database, hidden, {"u": server.uuid}):
                where = {"instance_uuid": server.uuid}
                cloud.update(database, "instance_info_caches", where, network_info="[]", updated_at=cloud.ago(OLD))


def foreign_project(cloud: CloudRows) -> None:
    """A port of another project: Nova never lists such a port, even if it works. Soon a finding of its own (A6)."""
    server = cloud.pick("active")
    attribute(cloud, _one_more(cloud, server, project_id="f" * 32), updated_at=cloud.ago(1800))


def subport(cloud: CloudRows) -> None:
    """The subport of a trunk belongs to the trunk."""
    cloud.pick("trunk")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "building": building,
    "being_attached": being_attached,
    "just_written": just_written,
    "just_changed": just_changed,
    "server_busy": server_busy,
    "hidden_copy": hidden_copy,
    "foreign_project": foreign_project,
    "subport": subport,
}
