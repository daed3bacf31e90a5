# SPDX-License-Identifier: Apache-2.0
"""Volumes with two attachments to one server (catalogue H8)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import migrated, neighbour
from stackmend_lab.plants._volumes import OLD, attached, busy, new_attachment


def _second(cloud: CloudRows, kind: str = "active", **values: Any) -> tuple[Server, str, str, int]:
    """(server, volume, second attachment, mapping): the second one is on another host."""
    server, volume, _, mapping = attached(cloud, kind)
    host = neighbour(cloud, server)["host"]
    return server, volume, new_attachment(cloud, volume, server.uuid, host, **values), mapping


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A live migration failed, and its rollback left the attachment on the destination (bug 1889108)."""
    server, volume, attachment, _ = _second(cloud)
    migrated(cloud, server, neighbour(cloud, server), "error", str(server.host))
    row = {"attachment_id": attachment, "key": "host", "value": "x", "created_at": cloud.ago(OLD), "deleted": 0}
    cloud.insert("cinder", "attachment_specs", **row)
    return {"volume": volume, "server": server.uuid}


def reserved(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute died before the destination had a connector."""
    values: dict[str, Any] = {"attach_status": "reserved", "connector": None, "attached_host": None}
    server, volume, _, _ = _second(cloud, **values)
    return {"volume": volume, "server": server.uuid}


def wrong_one(cloud: CloudRows) -> dict[str, Any]:
    """The rollback of a live migration gave the mapping the attachment of the destination."""
    server, volume, attachment, mapping = _second(cloud, "stopped")
    cloud.update(server.database, "block_device_mapping", {"id": mapping}, attachment_id=attachment)
    return {"volume": volume, "server": server.uuid}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"reserved": reserved, "wrong_one": wrong_one}
NOT_REPAIRED = {"wrong_one": "nova-manage volume_attachment refresh"}


def live_migration(cloud: CloudRows) -> None:
    """Both hosts have the volume while the server moves."""
    server, _, _, _ = _second(cloud)
    busy(cloud, server, "migrating")


def migration_recorded(cloud: CloudRows) -> None:
    """The same, seen only in the migration."""
    server, _, _, _ = _second(cloud)
    migrated(cloud, server, neighbour(cloud, server), "running", str(server.host))


def just_made(cloud: CloudRows) -> None:
    """A second attachment that was made a minute ago."""
    _second(cloud, updated_at=cloud.ago(60))


def multi_attached(cloud: CloudRows) -> None:
    """A multi-attach volume that two servers have, each once."""
    _, volume, _, _ = attached(cloud)
    other, _, _, mapping = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, multiattach=1)
    name = new_attachment(cloud, volume, other.uuid, other.host)
    values = {"uuid": str(uuid.uuid4()), "volume_id": volume, "attachment_id": name, "device_name": "/dev/vdy"}
    row = cloud.rows(other.database, "SELECT * FROM block_device_mapping WHERE id = :m", {"m": mapping})[0]
    own = {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in row.items() if k != "id"}
    cloud.insert(other.database, "block_device_mapping", **{**own, **values})


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "live_migration": live_migration,
    "migration_recorded": migration_recorded,
    "just_made": just_made,
    "multi_attached": multi_attached,
}
