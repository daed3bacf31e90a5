# SPDX-License-Identifier: Apache-2.0
"""Volumes whose deletion was never completed (catalogue H14)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, cinder_service, new_volume, worker


def _deleting(cloud: CloudRows, **values: Any) -> str:
    return new_volume(cloud, status="deleting", terminated_at=cloud.ago(OLD), **values)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The request to delete the volume was lost with the message queue."""
    return {"volume": _deleting(cloud)}


def interrupted(cloud: CloudRows) -> dict[str, Any]:
    """The service died while it deleted the volume; it has not started since, and its work is recorded."""
    volume = _deleting(cloud)
    worker(cloud, volume, "deleting", service_id=cinder_service(cloud, f"dead-{volume[:8]}@lvm", "cinder-volume", OLD))
    return {"volume": volume}


def encrypted(cloud: CloudRows) -> dict[str, Any]:
    """The request to delete an encrypted volume, whose key is gone, was lost."""
    return {"volume": _deleting(cloud, encryption_key_id=str(uuid.uuid4()))}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"interrupted": interrupted, "encrypted": encrypted}


def clearing(cloud: CloudRows) -> None:
    """A living service overwrites a large volume with zeroes, for three hours by now."""
    volume = _deleting(cloud)
    worker(cloud, volume, "deleting", service_id=cinder_service(cloud, f"live-{volume[:8]}@lvm", "cinder-volume"))


def just_asked(cloud: CloudRows) -> None:
    """The owner deleted the volume a minute ago."""
    new_volume(cloud, status="deleting", updated_at=cloud.ago(60))


def migration_source(cloud: CloudRows) -> None:
    """The old half of a migration, which Cinder deletes at its end."""
    _deleting(cloud, migration_status="deleting")


def deleted(cloud: CloudRows) -> None:
    """A volume that was deleted."""
    gone: dict[str, Any] = {"deleted": 1, "deleted_at": cloud.ago(OLD)}
    volume = _deleting(cloud, **gone)
    cloud.update("cinder", "volume_metadata", {"volume_id": volume}, **gone)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "clearing": clearing,
    "just_asked": just_asked,
    "migration_source": migration_source,
    "deleted": deleted,
}
