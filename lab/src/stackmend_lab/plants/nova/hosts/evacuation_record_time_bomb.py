# SPDX-License-Identifier: Apache-2.0
"""Evacuation records that name the server's own host as their source (catalogue F6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD, neighbour, touch


def _record(cloud: CloudRows, server: Server, status: str, source: str | None = None, **values: Any) -> dict[str, Any]:
    source = source or str(server.host)
    row = {"created_at": cloud.ago(OLD), "updated_at": cloud.ago(OLD), "deleted": 0, **values}
    number = cloud.insert(
        server.database, "migrations", uuid=f"{server.uuid[:-4]}eeac", instance_uuid=server.uuid, status=status,
        migration_type="evacuation", source_compute=source, source_node=source, **row,
    )  # fmt: skip
    return {"server": server.uuid, "record": number}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The conductor died after the API had written the record."""
    return _record(cloud, cloud.pick("active"), "accepted")


def failed(cloud: CloudRows) -> dict[str, Any]:
    """The destination failed after its claim, and the server was started on its own host again."""
    server = cloud.pick("stopped")
    host = str(neighbour(cloud, server)["host"])
    return _record(cloud, server, "pre-migrating", dest_compute=host, dest_node=host)


def came_back(cloud: CloudRows) -> dict[str, Any]:
    """The server was moved back while nova-compute on the source was never restarted."""
    server = cloud.pick("active")
    host = str(neighbour(cloud, server)["host"])
    key = _record(cloud, server, "done", dest_compute=host, dest_node=host)
    cloud.insert(
        server.database, "migrations", uuid=f"{server.uuid[:-4]}bacc", instance_uuid=server.uuid, status="completed",
        migration_type="live-migration", source_compute=host, source_node=host, dest_compute=server.host,
        dest_node=server.host, deleted=0, created_at=cloud.ago(OLD - 600), updated_at=cloud.ago(OLD - 700),
    )  # fmt: skip
    return key


def marked_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The record was marked deleted to defuse it: nova-compute reads it all the same."""
    server = cloud.pick("active")
    key = _record(cloud, server, "accepted")
    cloud.update(server.database, "migrations", {"id": key["record"]}, deleted=key["record"], deleted_at=cloud.ago(OLD))
    return key


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "failed": failed,
    "came_back": came_back,
    "marked_deleted": marked_deleted,
}


def evacuated(cloud: CloudRows) -> None:
    """The server is on the destination: the record makes its source clean up."""
    cloud.pick("evacuated")


def being_evacuated(cloud: CloudRows) -> None:
    """An evacuation is in progress: until it is done the server is on its dead host."""
    server = cloud.pick("active")
    _record(cloud, server, "accepted", created_at=cloud.ago(1800), updated_at=cloud.ago(1800))
    cloud.update(server.database, "instances", {"uuid": server.uuid}, task_state="rebuilding")
    touch(cloud, server, 1800)


def ended(cloud: CloudRows) -> None:
    """The source has cleaned up, and the server came back later."""
    _record(cloud, cloud.pick("active"), "completed")


def in_error(cloud: CloudRows) -> None:
    """The evacuation failed, and says so."""
    _record(cloud, cloud.pick("active"), "error")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "evacuated": evacuated,
    "being_evacuated": being_evacuated,
    "ended": ended,
    "in_error": in_error,
}
