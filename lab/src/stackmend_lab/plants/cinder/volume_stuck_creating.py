# SPDX-License-Identifier: Apache-2.0
"""Volumes whose creation was never completed (catalogue H13)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, new_volume


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The back end's service died while it created the volume."""
    return {"volume": new_volume(cloud, status="creating")}


def not_scheduled(cloud: CloudRows) -> dict[str, Any]:
    """The scheduler died before it chose a back end."""
    return {"volume": new_volume(cloud, status="creating", host=None)}


def downloading(cloud: CloudRows) -> dict[str, Any]:
    """The service died while it copied an image into the volume, and has a record of its work."""
    volume = new_volume(cloud, status="downloading")
    cloud.insert(
        "cinder",
        "workers",
        resource_type="Volume",
        resource_id=volume,
        status="downloading",
        race_preventer=0,
        created_at=cloud.ago(OLD),
        updated_at=cloud.ago(OLD),
        deleted=0,
    )
    return {"volume": volume}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "not_scheduled": not_scheduled,
    "downloading": downloading,
}


def slow_copy(cloud: CloudRows) -> None:
    """A large image, copied for an hour."""
    new_volume(cloud, status="downloading", updated_at=cloud.ago(3600))


def migration_target(cloud: CloudRows) -> None:
    """The destination of a migration, into which Cinder has been copying for hours."""
    new_volume(cloud, status="creating", migration_status=f"target:{uuid.uuid4()}")


def failed(cloud: CloudRows) -> None:
    """A creation that failed and says so."""
    new_volume(cloud, status="error")


def deleted(cloud: CloudRows) -> None:
    """A volume that was deleted while it was being created."""
    gone: dict[str, Any] = {"deleted": 1, "deleted_at": cloud.ago(OLD)}
    volume = new_volume(cloud, status="creating", **gone)
    cloud.update("cinder", "volume_metadata", {"volume_id": volume}, **gone)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "slow_copy": slow_copy,
    "migration_target": migration_target,
    "failed": failed,
    "deleted": deleted,
}
