# SPDX-License-Identifier: Apache-2.0
"""Volumes that the back end failed to delete (catalogue H3)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, child, new_project, new_volume


def _stuck(cloud: CloudRows, **values: Any) -> str:
    volume = new_volume(cloud, status="error_deleting", terminated_at=cloud.ago(OLD), **values)
    child(cloud, "volume_admin_metadata", volume, key="readonly", value="False")
    return volume


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The driver failed to delete a plain volume, whose project has one volume too many in its quota usage."""
    project = new_project(cloud)
    volume = _stuck(cloud, project=project)
    kinds = cloud.rows(
        "cinder",
        "SELECT t.name FROM volume_types t JOIN volumes v ON v.volume_type_id = t.id WHERE v.id = :v",
        {"v": volume},
    )
    suffixes = ["", *(f"_{kind['name']}" for kind in kinds)]
    for resource, amount in (("volumes", 1), ("gigabytes", 8)):
        for suffix in suffixes:
            cloud.insert(
                "cinder",
                "quota_usages",
                project_id=project,
                resource=resource + suffix,
                in_use=amount,
                reserved=0,
                race_preventer=1,
                created_at=cloud.ago(OLD),
                deleted=0,
            )
    return {"volume": volume}


def encrypted(cloud: CloudRows) -> dict[str, Any]:
    """An encrypted volume: its key is deleted before its data."""
    return {"volume": _stuck(cloud, encryption_key_id=str(uuid.uuid4()))}


def image_cache(cloud: CloudRows) -> dict[str, Any]:
    """A volume of the image cache, left by a service that died."""
    volume = _stuck(cloud)
    cloud.insert(
        "cinder",
        "image_volume_cache_entries",
        host="control@rbd#rbd",
        image_id=str(uuid.uuid4()),
        image_updated_at=cloud.ago(OLD),
        volume_id=volume,
        size=8,
        last_used=cloud.ago(OLD),
    )
    cloud.insert(
        "cinder",
        "workers",
        resource_type="Volume",
        resource_id=volume,
        status="deleting",
        race_preventer=0,
        created_at=cloud.ago(OLD),
        updated_at=cloud.ago(OLD),
        deleted=0,
    )
    return {"volume": volume}


def with_snapshot(cloud: CloudRows) -> dict[str, Any]:
    """A snapshot still exists: the volume cannot be deleted."""
    volume = _stuck(cloud)
    new_snapshot(cloud, volume)
    return {"volume": volume}


def new_snapshot(cloud: CloudRows, volume: str) -> str:
    """Insert a live snapshot of the volume; returns its id."""
    snapshot = str(uuid.uuid4())
    values = {"id": snapshot, "status": "available", "volume_size": 8, "progress": "100%", "use_quota": 1}
    kinds = cloud.rows("cinder", "SELECT volume_type_id, project_id FROM volumes WHERE id = :v", {"v": volume})
    child(cloud, "snapshots", volume, **values, **kinds[0])
    return snapshot


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "encrypted": encrypted,
    "image_cache": image_cache,
    "with_snapshot": with_snapshot,
}
NOT_REPAIRED = {"with_snapshot": "live snapshot"}


def just_failed(cloud: CloudRows) -> None:
    """The deletion failed a minute ago; its owner is looking at it."""
    new_volume(cloud, status="error_deleting", updated_at=cloud.ago(60))


def error(cloud: CloudRows) -> None:
    """A volume in error whose deletion was not requested."""
    new_volume(cloud, status="error")


def migration_target(cloud: CloudRows) -> None:
    """The other half of a migration, which Cinder removes by itself."""
    new_volume(cloud, status="error_deleting", migration_status=f"target:{uuid.uuid4()}")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "just_failed": just_failed,
    "error": error,
    "migration_target": migration_target,
}
