# SPDX-License-Identifier: Apache-2.0
"""Snapshots in a transitional status that nobody ends (catalogue H17)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, new_backup, new_volume, worker
from stackmend_lab.plants.cinder.volume_stuck_error_deleting import new_snapshot


def _stuck(cloud: CloudRows, status: str, age: float = OLD, **values: Any) -> str:
    name = new_snapshot(cloud, new_volume(cloud))
    cloud.update("cinder", "snapshots", {"id": name}, status=status, updated_at=cloud.ago(age), **values)
    return name


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The service died while it created the snapshot, and has a record of its work."""
    name = _stuck(cloud, "creating", progress="0%")
    worker(cloud, name, "creating", "Snapshot")
    return {"snapshot": name}


def deleting(cloud: CloudRows) -> dict[str, Any]:
    """The request to delete it was lost with the message queue (bug 1586604)."""
    return {"snapshot": _stuck(cloud, "deleting")}


def refused(cloud: CloudRows) -> dict[str, Any]:
    """The back end was busy when it was to be deleted."""
    return {"snapshot": _stuck(cloud, "error_deleting")}


def unmanaging(cloud: CloudRows) -> dict[str, Any]:
    """The service died before it released the snapshot from Cinder."""
    return {"snapshot": _stuck(cloud, "unmanaging")}


def backed_up(cloud: CloudRows) -> dict[str, Any]:
    """A backup from the snapshot ended in error, and its status was forgotten."""
    name = _stuck(cloud, "backing-up")
    sql = "SELECT volume_id FROM snapshots WHERE id = :s"
    new_backup(cloud, cloud.rows("cinder", sql, {"s": name})[0]["volume_id"], snapshot_id=name, status="error")
    return {"snapshot": name}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "deleting": deleting,
    "refused": refused,
    "unmanaging": unmanaging,
    "backed_up": backed_up,
}


def just_asked(cloud: CloudRows) -> None:
    """A snapshot whose creation began a minute ago."""
    _stuck(cloud, "creating", 60)


def of_a_group(cloud: CloudRows) -> None:
    """Part of a snapshot of a group, which the driver completes as a whole."""
    group, taken = str(uuid.uuid4()), str(uuid.uuid4())
    values: dict[str, Any] = {"created_at": cloud.ago(OLD), "deleted": 0, "group_type_id": str(uuid.uuid4())}
    cloud.insert("cinder", "groups", id=group, status="available", **values)
    cloud.insert("cinder", "group_snapshots", id=taken, group_id=group, status="creating", **values)
    _stuck(cloud, "creating", group_snapshot_id=taken)


def backup_in_progress(cloud: CloudRows) -> None:
    """A large backup from the snapshot, which reports its progress."""
    name = _stuck(cloud, "backing-up")
    volume = cloud.rows("cinder", "SELECT volume_id FROM snapshots WHERE id = :s", {"s": name})[0]["volume_id"]
    new_backup(cloud, volume, snapshot_id=name, status="creating", updated_at=cloud.ago(60))


def failed(cloud: CloudRows) -> None:
    """A snapshot whose creation failed, and which says so."""
    _stuck(cloud, "error")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "just_asked": just_asked,
    "of_a_group": of_a_group,
    "backup_in_progress": backup_in_progress,
    "failed": failed,
}
