# SPDX-License-Identifier: Apache-2.0
"""Live servers without instance_extra (catalogue B6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import touch


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A purge script deleted the row and failed at the server itself."""
    server = cloud.pick("active")
    cloud.delete(server.database, "instance_extra", {"instance_uuid": server.uuid})
    return {"server": server.uuid}


def marked_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The row is there, marked deleted."""
    server = cloud.pick("stopped")
    cloud.execute(
        server.database,
        "UPDATE instance_extra SET deleted = id, deleted_at = :t WHERE instance_uuid = :u",
        {"t": cloud.ago(7200), "u": server.uuid},
    )
    return {"server": server.uuid}


def archived(cloud: CloudRows) -> dict[str, Any]:
    """Archiving moved the row into the shadow table."""
    server = cloud.pick("active")
    row = _extra(cloud, server)
    cloud.insert(server.database, "shadow_instance_extra", **{k: _text(v) for k, v in row.items()})
    cloud.delete(server.database, "instance_extra", {"instance_uuid": server.uuid})
    return {"server": server.uuid}


def without_flavor(cloud: CloudRows) -> dict[str, Any]:
    """The row has no flavor."""
    server = cloud.pick("active")
    cloud.update(server.database, "instance_extra", {"instance_uuid": server.uuid}, flavor=None)
    return {"server": server.uuid}


def duplicate(cloud: CloudRows) -> dict[str, Any]:
    """Two live rows: nothing in the schema prevents them."""
    server = cloud.pick("active")
    row = {k: _text(v) for k, v in _extra(cloud, server).items() if k != "id"}
    cloud.insert(server.database, "instance_extra", **row)
    return {"server": server.uuid}


def _extra(cloud: CloudRows, server: Server) -> dict[str, Any]:
    sql = "SELECT * FROM instance_extra WHERE instance_uuid = :u"
    return cloud.rows(server.database, sql, {"u": server.uuid})[0]


def _text(value: Any) -> Any:
    return value if isinstance(value, int | str | None) else str(value)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "marked_deleted": marked_deleted,
    "archived": archived,
    "without_flavor": without_flavor,
    "duplicate": duplicate,
}


def being_built(cloud: CloudRows) -> None:
    """A server being built may not have its row yet."""
    server = cloud.pick("building")
    cloud.delete(server.database, "instance_extra", {"instance_uuid": server.uuid})


def deleted(cloud: CloudRows) -> None:
    """A deleted server's row is marked deleted."""
    cloud.pick("deleted")


def just_changed(cloud: CloudRows) -> None:
    """The server was changed a minute ago."""
    server = cloud.pick("active")
    cloud.update(server.database, "instance_extra", {"instance_uuid": server.uuid}, flavor=None)
    touch(cloud, server, 60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "being_built": being_built,
    "deleted": deleted,
    "just_changed": just_changed,
}
