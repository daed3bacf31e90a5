# SPDX-License-Identifier: Apache-2.0
"""Volumes marked deleted by hand without their children (catalogue H26)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, attached, charge, drop_attachment, drop_mapping, new_volume
from stackmend_lab.plants.cinder.volume_stuck_error_deleting import new_snapshot


def _delete(cloud: CloudRows, volume: str) -> dict[str, Any]:
    """The statement found on the web: only the volume."""
    gone = {"deleted": 1, "deleted_at": cloud.ago(OLD), "updated_at": cloud.ago(OLD)}
    cloud.update("cinder", "volumes", {"id": volume}, status="deleted", **gone)
    return {"volume": volume}


def _delete_children(cloud: CloudRows, volume: str) -> None:
    gone = {"deleted": 1, "deleted_at": cloud.ago(OLD)}
    for table in ("volume_metadata", "volume_admin_metadata"):
        cloud.update("cinder", table, {"volume_id": volume}, **gone)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The metadata is not marked."""
    return _delete(cloud, new_volume(cloud))


def attachment(cloud: CloudRows) -> dict[str, Any]:
    """Attachment, its specs and the admin metadata are not marked; Nova has detached it."""
    server, volume, attachment_id, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    values = {"attachment_id": attachment_id, "key": "host", "value": "c1", "created_at": cloud.ago(OLD)}
    cloud.insert("cinder", "attachment_specs", **values, deleted=0)
    charge(cloud, volume, -1)  # cinder-manage quota sync has run since
    return _delete(cloud, volume)


def still_attached(cloud: CloudRows) -> dict[str, Any]:
    """A running server uses it: what is wrong is the row of the volume."""
    return _delete(cloud, attached(cloud)[1])


def still_attached_whole(cloud: CloudRows) -> dict[str, Any]:
    """The same, with the metadata marked at the same time."""
    volume = attached(cloud, "stopped")[1]
    _delete_children(cloud, volume)
    return _delete(cloud, volume)


def snapshot(cloud: CloudRows) -> dict[str, Any]:
    """A snapshot that its owner relies on stays live with its metadata."""
    volume = new_volume(cloud)
    values = {"snapshot_id": new_snapshot(cloud, volume), "key": "by", "value": "nightly", "deleted": 0}
    cloud.insert("cinder", "snapshot_metadata", **values, created_at=cloud.ago(OLD))
    return _delete(cloud, volume)


def snapshot_on_its_way(cloud: CloudRows) -> dict[str, Any]:
    """A snapshot that was being deleted stays live with its metadata."""
    volume = new_volume(cloud)
    name = new_snapshot(cloud, volume)
    cloud.update("cinder", "snapshots", {"id": name}, status="deleting")
    values = {"snapshot_id": name, "key": "by", "value": "nightly", "deleted": 0}
    cloud.insert("cinder", "snapshot_metadata", **values, created_at=cloud.ago(OLD))
    return _delete(cloud, volume)


def no_time(cloud: CloudRows) -> dict[str, Any]:
    """All children are marked, but without a time."""
    volume = new_volume(cloud)
    _delete_children(cloud, volume)
    key = _delete(cloud, volume)
    cloud.update("cinder", "volumes", {"id": volume}, deleted_at=None)
    return key


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "attachment": attachment,
    "still_attached": still_attached,
    "still_attached_whole": still_attached_whole,
    "snapshot": snapshot,
    "snapshot_on_its_way": snapshot_on_its_way,
    "no_time": no_time,
}
MENDED_BY = {"attachment": "mark-volume-deleted", "still_attached": "revive-volume", "snapshot": "revive-volume"}


def deleted_well(cloud: CloudRows) -> None:
    """Deleted by Cinder, after it had been attached for a while."""
    server, volume, attachment_id, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    drop_attachment(cloud, attachment_id)
    _delete_children(cloud, volume)
    charge(cloud, volume, -1)
    _delete(cloud, volume)
    cloud.update("cinder", "volumes", {"id": volume}, attach_status="detached")


def children_deleted(cloud: CloudRows) -> None:
    """A live volume, with metadata deleted by its owner."""
    _delete_children(cloud, new_volume(cloud))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "deleted_well": deleted_well,
    "children_deleted": children_deleted,
}
