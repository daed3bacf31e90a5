# SPDX-License-Identifier: Apache-2.0
"""Live servers without a live cache row (catalogue A2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import OLD, busy, cache, changed


def _mark(cloud: CloudRows, server: Server, mark: int | None, **values: Any) -> dict[str, Any]:
    at = cloud.ago(OLD) if mark else None
    where = {"instance_uuid": server.uuid}
    cloud.update(server.database, "instance_info_caches", where, deleted=mark, deleted_at=at, **values)
    return {"server": server.uuid}


def _drop(cloud: CloudRows, server: Server) -> dict[str, Any]:
    cloud.delete(server.database, "instance_info_caches", {"instance_uuid": server.uuid})
    return {"server": server.uuid}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The row is gone: a purge script stopped halfway."""
    return _drop(cloud, cloud.pick("active"))


def marked(cloud: CloudRows) -> dict[str, Any]:
    """The row is marked deleted as by Nova; its document is unchanged."""
    server = cloud.pick("premade_port")
    return _mark(cloud, server, cache(cloud, server)["id"])


def marked_one(cloud: CloudRows) -> dict[str, Any]:
    """The row is marked with 1, by hand."""
    return _mark(cloud, cloud.pick("stopped"), 1)


def marked_and_emptied(cloud: CloudRows) -> dict[str, Any]:
    """The row is marked deleted and its document empty: an interrupted delete."""
    server = cloud.pick("multi_nic")
    return _mark(cloud, server, cache(cloud, server)["id"], network_info="[]")


def unmarked(cloud: CloudRows) -> dict[str, Any]:
    """``deleted`` is NULL, by a raw insert: Nova does not see the row (rule R6)."""
    return _mark(cloud, cloud.pick("active"), None)


def with_its_nic_rows(cloud: CloudRows) -> dict[str, Any]:
    """The NIC rows were marked deleted together with the cache."""
    server = cloud.pick("multi_nic")
    sql = "SELECT id FROM virtual_interfaces WHERE instance_uuid = :u"
    for row in cloud.rows(server.database, sql, {"u": server.uuid}):
        values = {"deleted": row["id"], "deleted_at": cloud.ago(OLD)}
        cloud.update(server.database, "virtual_interfaces", {"id": row["id"]}, **values)
    return _mark(cloud, server, cache(cloud, server)["id"])


def no_nic(cloud: CloudRows) -> dict[str, Any]:
    """A server without NICs needs its row as well."""
    return _drop(cloud, cloud.pick("no_nic"))


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "marked": marked,
    "marked_one": marked_one,
    "marked_and_emptied": marked_and_emptied,
    "unmarked": unmarked,
    "with_its_nic_rows": with_its_nic_rows,
    "no_nic": no_nic,
}


def deleted_server(cloud: CloudRows) -> None:
    """A deleted server needs no row."""
    _drop(cloud, cloud.pick("deleted"))


def building(cloud: CloudRows) -> None:
    """A server being built has none yet."""
    _drop(cloud, cloud.pick("building"))


def in_cell0(cloud: CloudRows) -> None:
    """A server that was never scheduled."""
    _drop(cloud, cloud.pick("cell0_error"))


def server_busy(cloud: CloudRows) -> None:
    """A server with an operation in progress."""
    server = cloud.pick("active")
    _drop(cloud, server)
    busy(cloud, server, "deleting")


def just_changed(cloud: CloudRows) -> None:
    """Nova wrote the server a minute ago."""
    server = cloud.pick("active")
    _drop(cloud, server)
    changed(cloud, server)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "deleted_server": deleted_server,
    "building": building,
    "in_cell0": in_cell0,
    "server_busy": server_busy,
    "just_changed": just_changed,
}
