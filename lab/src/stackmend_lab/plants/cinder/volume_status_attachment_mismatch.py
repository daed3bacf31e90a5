# SPDX-License-Identifier: Apache-2.0
"""Volumes whose status differs from their attachments (catalogue H10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import (
    attach,
    attached,
    boot_from,
    drop_attachment,
    drop_mapping,
    free,
    new_attachment,
    new_volume,
)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The recipe's own statement, on a volume of a running server."""
    _, volume, _, _ = attached(cloud)
    free(cloud, volume)
    return {"volume": volume}


def root(cloud: CloudRows) -> dict[str, Any]:
    """The same with the disk the server boots from."""
    server, volume, _, mapping = attached(cloud)
    boot_from(cloud, server, mapping)
    free(cloud, volume)
    return {"volume": volume}


def reset_state(cloud: CloudRows) -> dict[str, Any]:
    """`cinder reset-state --state available`: attach_status stays."""
    _, volume, _, _ = attached(cloud, "stopped")
    cloud.update("cinder", "volumes", {"id": volume}, status="available")
    return {"volume": volume}


def half_statement(cloud: CloudRows) -> dict[str, Any]:
    """Only attach_status was set: Cinder then refuses to begin a detach."""
    _, volume, _, _ = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, attach_status="detached")
    return {"volume": volume}


def shared(cloud: CloudRows) -> dict[str, Any]:
    """A volume that two servers may share."""
    _, volume, _, _ = attached(cloud)
    attach(cloud, cloud.pick("active"), volume)
    cloud.update("cinder", "volumes", {"id": volume}, multiattach=1)
    free(cloud, volume)
    return {"volume": volume}


def shelved(cloud: CloudRows) -> dict[str, Any]:
    """An offloaded server keeps its volume reserved, but it was set to available."""
    server = cloud.pick("shelved_offloaded")
    volume = new_volume(cloud, server.project_id)
    attach(cloud, server, volume, attach_status="reserved", connector=None, attached_host=None, connection_info=None)
    free(cloud, volume)
    return {"volume": volume}


def to_host(cloud: CloudRows) -> dict[str, Any]:
    """Attached to a host, and set to available by hand."""
    volume = new_volume(cloud)
    new_attachment(cloud, volume, None, "control")
    return {"volume": volume}


def second_writer(cloud: CloudRows) -> dict[str, Any]:
    """Set to available by hand, attached to a second server, and set to available again."""
    _, volume, _, _ = attached(cloud)
    attach(cloud, cloud.pick("active"), volume)
    free(cloud, volume)
    return {"volume": volume}


def second_writer_in_use(cloud: CloudRows) -> dict[str, Any]:
    """Set to available by hand, and attached to a second server: the status is right again."""
    _, volume, _, _ = attached(cloud)
    attach(cloud, cloud.pick("active"), volume)
    return {"volume": volume}


def nobody(cloud: CloudRows) -> dict[str, Any]:
    """Attachment and mapping were removed, the status was not changed."""
    server, volume, attachment, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    drop_attachment(cloud, attachment)
    return {"volume": volume}


def reserved_for_nobody(cloud: CloudRows) -> dict[str, Any]:
    """Reserved for an attachment that is gone."""
    return {"volume": new_volume(cloud, status="reserved")}


def only_in_error(cloud: CloudRows) -> dict[str, Any]:
    """A detach failed in Cinder, and somebody reset the state to available: the guest may still have the disk."""
    _, volume, attachment, _ = attached(cloud)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attach_status="error_detaching")
    cloud.update("cinder", "volumes", {"id": volume}, status="available")
    return {"volume": volume}


def in_error_half_typed(cloud: CloudRows) -> dict[str, Any]:
    """A detach failed in Cinder, and somebody typed half of the recipe."""
    _, volume, attachment, _ = attached(cloud)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attach_status="error_detaching")
    cloud.update("cinder", "volumes", {"id": volume}, attach_status="detached")
    return {"volume": volume}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "root": root,
    "reset_state": reset_state,
    "half_statement": half_statement,
    "shared": shared,
    "shelved": shelved,
    "to_host": to_host,
    "second_writer": second_writer,
    "second_writer_in_use": second_writer_in_use,
    "only_in_error": only_in_error,
    "in_error_half_typed": in_error_half_typed,
    "nobody": nobody,
    "reserved_for_nobody": reserved_for_nobody,
}
MENDED_BY = {"nobody": "detach-volume", "reserved_for_nobody": "detach-volume"}
NOT_REPAIRED = {
    "second_writer": "is not multi-attach",
    "second_writer_in_use": "is not multi-attach",
    "only_in_error": "no row shows whether the guest has the disk",
    "in_error_half_typed": "no row shows whether the guest has the disk",
}


def failed_attach(cloud: CloudRows) -> None:
    """A failed attach leaves an attachment in error: such a volume is rightly available (cinder/db/api.py)."""
    server = cloud.pick("active")
    values = {"attach_status": "error_attaching", "connector": None}
    new_attachment(cloud, new_volume(cloud), server.uuid, server.host, **values)


def uploading(cloud: CloudRows) -> None:
    """An attached volume that is being copied into an image."""
    _, volume, _, _ = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, status="uploading", previous_status="in-use")


def reserving(cloud: CloudRows) -> None:
    """Reserved a moment ago: Cinder sets the status before the attachment, and attach_status when it is used."""
    server = cloud.pick("shelved_offloaded")
    volume = new_volume(cloud, server.project_id)
    attach(cloud, server, volume, attach_status="reserved", connector=None, attached_host=None, connection_info=None)
    cloud.update("cinder", "volumes", {"id": volume}, attach_status="detached")


def just_freed(cloud: CloudRows) -> None:
    """Cinder is between the two writes of a detach."""
    server, volume, _, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    free(cloud, volume)
    cloud.update("cinder", "volumes", {"id": volume}, updated_at=cloud.ago(20))
    cloud.update("cinder", "volume_attachment", {"volume_id": volume}, updated_at=cloud.ago(20))


def in_error(cloud: CloudRows) -> None:
    """A volume in error keeps its attachment and its status."""
    _, volume, _, _ = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, status="error")


def migrated(cloud: CloudRows) -> None:
    """The hidden half of a volume migration."""
    _, volume, _, _ = attached(cloud)
    free(cloud, volume)
    cloud.update("cinder", "volumes", {"id": volume}, migration_status="migrating")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "failed_attach": failed_attach,
    "uploading": uploading,
    "reserving": reserving,
    "just_freed": just_freed,
    "in_error": in_error,
    "migrated": migrated,
}
