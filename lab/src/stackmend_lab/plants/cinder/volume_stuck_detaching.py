# SPDX-License-Identifier: Apache-2.0
"""Volumes that nobody is detaching any more (catalogue H1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import (
    OLD,
    act,
    attach,
    attached,
    busy,
    drop_attachment,
    drop_mapping,
    new_attachment,
    new_volume,
)


def _detaching(
    cloud: CloudRows, volume: str, server: str | None = None, age: int = OLD, **values: Any
) -> dict[str, Any]:
    cloud.update("cinder", "volumes", {"id": volume}, status="detaching", updated_at=cloud.ago(age), **values)
    return {"volume": volume, "server": server}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The compute service died before it did anything: mapping and attachment both exist."""
    server, volume, _, _ = attached(cloud)
    return _detaching(cloud, volume, server.uuid)


def mapping_gone(cloud: CloudRows) -> dict[str, Any]:
    """Nova has dropped its mapping, and Cinder was not informed."""
    server, volume, _, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    return _detaching(cloud, volume, server.uuid)


def attachment_gone(cloud: CloudRows) -> dict[str, Any]:
    """The attachment was removed, the mapping and the status were not."""
    server, volume, attachment, _ = attached(cloud)
    drop_attachment(cloud, attachment)
    return _detaching(cloud, volume, server.uuid)


def attachment_ending(cloud: CloudRows) -> dict[str, Any]:
    """Cinder failed while it ended the attachment; Nova's mapping exists."""
    server, volume, attachment, _ = attached(cloud)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attach_status="error_detaching")
    return _detaching(cloud, volume, server.uuid)


def both_gone(cloud: CloudRows) -> dict[str, Any]:
    """Only the status is left."""
    server, volume, attachment, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    drop_attachment(cloud, attachment)
    return _detaching(cloud, volume)


def multiattach(cloud: CloudRows) -> dict[str, Any]:
    """Two servers share the volume, and the mapping of one is gone."""
    server, volume, _, mapping = attached(cloud)
    attach(cloud, cloud.pick("active"), volume)
    drop_mapping(cloud, server, mapping)
    return _detaching(cloud, volume, server.uuid, multiattach=1)


def legacy_specs(cloud: CloudRows) -> dict[str, Any]:
    """As mapping_gone, with an attachment that keeps its connector in the old way."""
    server, volume, attachment, mapping = attached(cloud)
    cloud.insert(
        "cinder",
        "attachment_specs",
        attachment_id=attachment,
        key="host",
        value="c1",
        created_at=cloud.ago(OLD),
        deleted=0,
    )
    drop_mapping(cloud, server, mapping)
    return _detaching(cloud, volume, server.uuid)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "mapping_gone": mapping_gone,
    "attachment_gone": attachment_gone,
    "attachment_ending": attachment_ending,
    "both_gone": both_gone,
    "multiattach": multiattach,
    "legacy_specs": legacy_specs,
}
MENDED_BY = dict.fromkeys(("mapping_gone", "attachment_gone", "attachment_ending", "both_gone"), "detach-volume")


def just_begun(cloud: CloudRows) -> None:
    """A detach that began a minute ago; Nova has dropped its mapping, Cinder is about to."""
    server, volume, _, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    _detaching(cloud, volume, age=60)


def server_busy(cloud: CloudRows) -> None:
    """The server is being rebooted; the detach is queued."""
    server, volume, _, _ = attached(cloud)
    busy(cloud, server, "rebooting")
    _detaching(cloud, volume)


def guest_hesitates(cloud: CloudRows) -> None:
    """Nova's action is still running: the guest takes its time to release the disk."""
    server, volume, _, _ = attached(cloud)
    act(cloud, server, "detach_volume")
    _detaching(cloud, volume)


def live_migration(cloud: CloudRows) -> None:
    """The server is being migrated and has two attachments; the detach waits."""
    server, volume, _, _ = attached(cloud, "live_migrating")
    new_attachment(cloud, volume, server.uuid, "c2")
    _detaching(cloud, volume)


def volume_migration(cloud: CloudRows) -> None:
    """Cinder is migrating the volume and detaches it by itself."""
    _detaching(cloud, attached(cloud)[1], migration_status="migrating")


def in_use(cloud: CloudRows) -> None:
    """An attached volume that is not being detached."""
    attached(cloud)


def cleaned_away(cloud: CloudRows) -> None:
    """A volume that was deleted while its status said detaching."""
    volume = new_volume(cloud)
    gone: dict[str, Any] = {"deleted": 1, "deleted_at": cloud.ago(OLD)}
    cloud.update("cinder", "volume_metadata", {"volume_id": volume}, **gone)
    _detaching(cloud, volume, **gone)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "just_begun": just_begun,
    "server_busy": server_busy,
    "guest_hesitates": guest_hesitates,
    "live_migration": live_migration,
    "volume_migration": volume_migration,
    "in_use": in_use,
    "cleaned_away": cleaned_away,
}
