# SPDX-License-Identifier: Apache-2.0
"""Volumes attached in Cinder but not in Nova (catalogue H5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import (
    attach,
    attached,
    busy,
    drop_mapping,
    new_attachment,
    new_volume,
)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A detach failed after Nova had dropped its mapping."""
    server, volume, _, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    return {"volume": volume, "server": server.uuid}


def mapping_purged(cloud: CloudRows) -> dict[str, Any]:
    """The mapping was deleted by hand: there is nothing to restore."""
    server, volume, _, mapping = attached(cloud)
    cloud.delete(server.database, "block_device_mapping", {"id": mapping})
    return {"volume": volume, "server": server.uuid}


def stopped(cloud: CloudRows) -> dict[str, Any]:
    """The same with a stopped server; the failed detach left its mark on the attachment."""
    server, volume, attachment, mapping = attached(cloud, "stopped")
    drop_mapping(cloud, server, mapping)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attach_status="error_detaching")
    return {"volume": volume, "server": server.uuid}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"mapping_purged": mapping_purged, "stopped": stopped}
NOT_REPAIRED = {"mapping_purged": "no deleted mapping"}


def being_attached(cloud: CloudRows) -> None:
    """Cinder has just completed an attachment; Nova will write its part in a moment."""
    server, _, attachment, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, updated_at=cloud.ago(30))


def host_attachment(cloud: CloudRows) -> None:
    """A volume attached to a host, not to a server: glance or a backup is copying it."""
    volume = new_volume(cloud, status="in-use", attach_status="attached")
    new_attachment(cloud, volume, None, "control")


def live_migration(cloud: CloudRows) -> None:
    """A live migration: two attachments for one server, one mapping."""
    server, volume, _, _ = attached(cloud, "live_migrating")
    new_attachment(cloud, volume, server.uuid, "c2")


def shelved(cloud: CloudRows) -> None:
    """An offloaded server keeps its volume reserved, without connector."""
    server = cloud.pick("shelved_offloaded")
    volume = new_volume(cloud, server.project_id)
    attach(cloud, server, volume, attach_status="reserved", connector=None, attached_host=None, connection_info=None)


def server_busy(cloud: CloudRows) -> None:
    """The server is being rebooted, and Nova cleans up by itself."""
    server, _, _, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    busy(cloud, server, "rebooting_hard")


def soft_deleted(cloud: CloudRows) -> None:
    """A server that can still be restored keeps its volumes."""
    attached(cloud, "soft_deleted")


def multiattach(cloud: CloudRows) -> None:
    """Two servers share a volume, and both have its mapping."""
    _, volume, _, _ = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, multiattach=1)
    attach(cloud, cloud.pick("active"), volume)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "being_attached": being_attached,
    "host_attachment": host_attachment,
    "live_migration": live_migration,
    "shelved": shelved,
    "server_busy": server_busy,
    "soft_deleted": soft_deleted,
    "multiattach": multiattach,
}
