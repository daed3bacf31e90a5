# SPDX-License-Identifier: Apache-2.0
"""Backups that no service works on any more (catalogue H18)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, attached, cinder_service, new_attachment, new_backup, new_volume
from stackmend_lab.plants.cinder.volume_stuck_error_deleting import new_snapshot


def _host(cloud: CloudRows, silent: float) -> str:
    host = f"backup-{uuid.uuid4().hex[:8]}"
    cinder_service(cloud, host, silent=silent)
    return host


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The host of cinder-backup died while it backed up a volume that a server has."""
    _, volume, _, _ = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, status="backing-up", previous_status="in-use")
    return {"backup": new_backup(cloud, volume, status="creating", host=_host(cloud, OLD))}


def restoring(cloud: CloudRows) -> dict[str, Any]:
    """The host died while a backup was restored into a new volume."""
    target = new_volume(cloud, status="restoring-backup")
    values = {"status": "restoring", "restore_volume_id": target, "host": _host(cloud, OLD)}
    return {"backup": new_backup(cloud, new_volume(cloud), **values)}


def service_gone(cloud: CloudRows) -> dict[str, Any]:
    """The controller with cinder-backup was replaced by one with another name."""
    volume = new_volume(cloud, status="backing-up", previous_status="available")
    return {"backup": new_backup(cloud, volume, status="creating", host="old-controller")}


def from_snapshot(cloud: CloudRows) -> dict[str, Any]:
    """The host died while it backed up a snapshot; a temporary volume is left."""
    volume = new_volume(cloud)
    snapshot = new_snapshot(cloud, volume)
    cloud.update("cinder", "snapshots", {"id": snapshot}, status="backing-up", updated_at=cloud.ago(OLD))
    values = {"status": "creating", "snapshot_id": snapshot, "temp_volume_id": new_volume(cloud)}
    return {"backup": new_backup(cloud, volume, host=_host(cloud, OLD), **values)}


def deleting(cloud: CloudRows) -> dict[str, Any]:
    """A living service lost the request to delete the backup two days ago."""
    return {"backup": new_backup(cloud, new_volume(cloud), status="deleting", host=_host(cloud, 5),
                                 updated_at=cloud.ago(2 * 86400))}  # fmt: skip


def on_a_host(cloud: CloudRows) -> dict[str, Any]:
    """The host died while it had the volume attached to itself."""
    volume, host = new_volume(cloud, status="backing-up", previous_status="available"), _host(cloud, OLD)
    new_attachment(cloud, volume, None, host)
    return {"backup": new_backup(cloud, volume, status="creating", host=host)}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "restoring": restoring,
    "service_gone": service_gone,
    "from_snapshot": from_snapshot,
    "deleting": deleting,
    "on_a_host": on_a_host,
}
NOT_ON_LAB = "it has no cinder-backup"
NOT_REPAIRED = {"on_a_host": "start cinder-backup there"}


def large(cloud: CloudRows) -> None:
    """A living service has been backing up a large volume for three hours."""
    volume = new_volume(cloud, status="backing-up", previous_status="available")
    new_backup(cloud, volume, status="creating", host=_host(cloud, 5))


def just_died(cloud: CloudRows) -> None:
    """A service that fell silent half an hour ago, with a backup: it may only be restarting."""
    volume = new_volume(cloud, status="restoring-backup", updated_at=cloud.ago(1800))
    values = {"status": "restoring", "restore_volume_id": volume, "updated_at": cloud.ago(1800)}
    new_backup(cloud, new_volume(cloud), host=_host(cloud, 1800), **values)


def done(cloud: CloudRows) -> None:
    """Backups that ended, one well and one badly, on a host that is gone."""
    volume = new_volume(cloud)
    new_backup(cloud, volume, host="old-controller")
    new_backup(cloud, volume, host="old-controller", status="error", fail_reason="no space")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"large": large, "just_died": just_died, "done": done}
