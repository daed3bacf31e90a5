# SPDX-License-Identifier: Apache-2.0
"""Mappings of volumes that are not attached in Cinder (catalogue H7)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._volumes import (
    OLD,
    attach,
    attached,
    boot_from,
    busy,
    charge,
    drop_attachment,
    free,
    new_attachment,
    new_mapping,
    new_volume,
)


def _key(server: Server, volume: str, mapping: int) -> dict[str, Any]:
    return {"server": server.uuid, "volume": volume, "bdm": mapping}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """`cinder reset-state --attach-status detached`: the attachment is removed, Nova is not informed."""
    server, volume, attachment, mapping = attached(cloud)
    drop_attachment(cloud, attachment)
    free(cloud, volume)
    return _key(server, volume, mapping)


def root(cloud: CloudRows) -> dict[str, Any]:
    """The same with the disk the server boots from."""
    server, volume, attachment, mapping = attached(cloud)
    boot_from(cloud, server, mapping)
    drop_attachment(cloud, attachment)
    free(cloud, volume)
    return _key(server, volume, mapping)


def volume_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The volume was deleted in Cinder with everything that belongs to it."""
    server, volume, attachment, mapping = attached(cloud)
    drop_attachment(cloud, attachment)
    charge(cloud, volume, -1)
    gone = {"deleted": 1, "deleted_at": cloud.ago(OLD)}
    for table in ("volume_metadata", "volume_admin_metadata"):
        cloud.update("cinder", table, {"volume_id": volume}, **gone)
    cloud.update("cinder", "volumes", {"id": volume}, status="deleted", attach_status="detached", **gone)
    return _key(server, volume, mapping)


def volume_purged(cloud: CloudRows) -> dict[str, Any]:
    """Cinder has no record of the volume: its rows were purged."""
    server = cloud.pick("active")
    volume = str(uuid.uuid4())
    return _key(server, volume, new_mapping(cloud, server, volume, str(uuid.uuid4())))


def other_server(cloud: CloudRows) -> dict[str, Any]:
    """The volume was freed by hand, and attached to another server since."""
    server, volume, attachment, mapping = attached(cloud)
    drop_attachment(cloud, attachment)
    attach(cloud, cloud.pick("active"), volume)
    return _key(server, volume, mapping)


def other_attachment(cloud: CloudRows) -> dict[str, Any]:
    """A migration was rolled back incorrectly: the volume has an attachment unknown to Nova."""
    server, volume, attachment, mapping = attached(cloud)
    drop_attachment(cloud, attachment)
    new_attachment(cloud, volume, server.uuid, server.host)
    return _key(server, volume, mapping)


def still_in_use(cloud: CloudRows) -> dict[str, Any]:
    """Only the attachment was removed by SQL: the volume's status is still in-use."""
    server, volume, attachment, mapping = attached(cloud)
    drop_attachment(cloud, attachment)
    return _key(server, volume, mapping)


def root_elsewhere(cloud: CloudRows) -> dict[str, Any]:
    """The root disk of a stopped server was freed by hand, and attached to another server since."""
    server, volume, attachment, mapping = attached(cloud, "stopped")
    boot_from(cloud, server, mapping)
    drop_attachment(cloud, attachment)
    attach(cloud, cloud.pick("active"), volume)
    return _key(server, volume, mapping)


def attachment_of_another(cloud: CloudRows) -> dict[str, Any]:
    """The attachment named in Nova exists, but belongs to a host according to Cinder."""
    server, volume, attachment, mapping = attached(cloud)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, instance_uuid=None)
    return _key(server, volume, mapping)


def no_attachment_id(cloud: CloudRows) -> dict[str, Any]:
    """A mapping from before Queens, of a volume that was detached in Cinder."""
    server = cloud.pick("stopped")
    volume = new_volume(cloud, server.project_id)
    return _key(server, volume, new_mapping(cloud, server, volume, None))


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "root": root,
    "volume_deleted": volume_deleted,
    "volume_purged": volume_purged,
    "other_server": other_server,
    "other_attachment": other_attachment,
    "no_attachment_id": no_attachment_id,
    "still_in_use": still_in_use,
    "root_elsewhere": root_elsewhere,
    "attachment_of_another": attachment_of_another,
}
NOT_REPAIRED = {
    "root": "root disk",
    "root_elsewhere": "stop one of the two",
    "attachment_of_another": "no row shows which",
    "other_attachment": "nova-manage volume_attachment refresh",
}


def being_attached(cloud: CloudRows) -> None:
    """Nova has just reserved a device name for a volume that is about to be attached."""
    server = cloud.pick("active")
    volume = new_volume(cloud, server.project_id)
    new_mapping(cloud, server, volume, None, created_at=cloud.ago(20), updated_at=None)


def being_detached(cloud: CloudRows) -> None:
    """Cinder has finished a detach, Nova drops its mapping in a moment."""
    _, volume, attachment, _ = attached(cloud)
    drop_attachment(cloud, attachment)
    cloud.update("cinder", "volumes", {"id": volume}, status="detaching", updated_at=cloud.ago(20))


def old_attachment(cloud: CloudRows) -> None:
    """Attached before Queens: Nova never recorded the id of the attachment."""
    server = cloud.pick("active")
    volume = new_volume(cloud, server.project_id, status="in-use", attach_status="attached")
    new_attachment(cloud, volume, server.uuid, server.host)
    new_mapping(cloud, server, volume, None)


def failed_build(cloud: CloudRows) -> None:
    """A failed build: Nova released the volume and keeps its mapping, the server never ran."""
    server = cloud.pick("cell0_error")
    volume = new_volume(cloud, server.project_id)
    new_mapping(cloud, server, volume, str(uuid.uuid4()))


def boot_from_volume(cloud: CloudRows) -> None:
    """A server being built from an image on a volume that does not exist yet."""
    server = cloud.pick("building")
    values = {"source_type": "image", "boot_index": 0, "connection_info": None, "device_name": None}
    new_mapping(cloud, server, "", None, **{**values, "volume_id": None})


def server_busy(cloud: CloudRows) -> None:
    """The server is being rebooted, and Nova cleans up by itself."""
    server, volume, attachment, _ = attached(cloud)
    drop_attachment(cloud, attachment)
    free(cloud, volume)
    busy(cloud, server, "rebooting_hard")


def live_migration(cloud: CloudRows) -> None:
    """A live migration: Nova has switched to the new attachment, the old one is still there."""
    server, volume, _, mapping = attached(cloud, "live_migrating")
    new = new_attachment(cloud, volume, server.uuid, "c2")
    cloud.update(server.database, "block_device_mapping", {"id": mapping}, attachment_id=new)


def local_disk(cloud: CloudRows) -> None:
    """A mapping of a local disk has no volume."""
    server = cloud.pick("active")
    values = {"destination_type": "local", "source_type": "blank", "volume_id": None, "connection_info": None}
    new_mapping(cloud, server, "", None, **values)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "being_attached": being_attached,
    "being_detached": being_detached,
    "old_attachment": old_attachment,
    "failed_build": failed_build,
    "boot_from_volume": boot_from_volume,
    "server_busy": server_busy,
    "live_migration": live_migration,
    "local_disk": local_disk,
}
