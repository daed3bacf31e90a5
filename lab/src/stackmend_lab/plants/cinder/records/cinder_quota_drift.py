# SPDX-License-Identifier: Apache-2.0
"""Quota usages of Cinder that are not what the rows add up to (catalogue H20)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, new_backup, new_project, new_volume
from stackmend_lab.plants.cinder.volume_stuck_error_deleting import new_snapshot


def _usage(cloud: CloudRows, project: str, what: str, in_use: int, **values: Any) -> dict[str, Any]:
    """Insert a usage; returns the key of a finding about it."""
    defaults = {"reserved": 0, "race_preventer": 1, "created_at": cloud.ago(2 * OLD), "deleted": 0}
    cloud.insert("cinder", "quota_usages", project_id=project, resource=what, in_use=in_use, **{**defaults, **values})
    return {"project": project, "what": what}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A volume was deleted by SQL: its project has one, and two are counted."""
    project = new_project(cloud)
    new_volume(cloud, project)
    return _usage(cloud, project, "volumes", 2)


def too_low(cloud: CloudRows) -> dict[str, Any]:
    """Two deletions gave back the same gigabytes."""
    project = new_project(cloud)
    new_volume(cloud, project)
    return _usage(cloud, project, "gigabytes", -8)


def of_a_type(cloud: CloudRows) -> dict[str, Any]:
    """The usage of a volume type counts a volume that is gone."""
    kinds = cloud.rows("cinder", "SELECT name FROM volume_types WHERE deleted = 0 ORDER BY name")
    return _usage(cloud, new_project(cloud), f"volumes_{kinds[0]['name']}", 1)


def reserved(cloud: CloudRows) -> dict[str, Any]:
    """The reservation was purged, and what it reserved still counts."""
    return _usage(cloud, new_project(cloud), "snapshots", 0, reserved=1)


def backups(cloud: CloudRows) -> dict[str, Any]:
    """cinder-backup died before it gave back the gigabytes of a deleted backup."""
    project = new_project(cloud)
    new_backup(cloud, new_volume(cloud, project))
    return _usage(cloud, project, "backup_gigabytes", 20)


def with_snapshots(cloud: CloudRows) -> dict[str, Any]:
    """More gigabytes are counted than volumes and snapshots have together."""
    project = new_project(cloud)
    new_snapshot(cloud, new_volume(cloud, project))
    return _usage(cloud, project, "gigabytes", 40)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "too_low": too_low,
    "of_a_type": of_a_type,
    "reserved": reserved,
    "backups": backups,
    "with_snapshots": with_snapshots,
}
NOT_REPAIRED = {"with_snapshots": "cinder-manage quota sync --project-id"}


def right(cloud: CloudRows) -> None:
    """Usages that fit, with and without snapshots among the gigabytes."""
    for gigabytes in (8, 16):
        project = new_project(cloud)
        new_snapshot(cloud, new_volume(cloud, project))
        _usage(cloud, project, "volumes", 1)
        _usage(cloud, project, "gigabytes", gigabytes)


def migrated(cloud: CloudRows) -> None:
    """The destination of a migration does not count."""
    project = new_project(cloud)
    new_volume(cloud, project, use_quota=0, migration_status=f"target:{uuid.uuid4()}", updated_at=cloud.ago(60))
    _usage(cloud, project, "volumes", 0)


def request_in_progress(cloud: CloudRows) -> None:
    """A volume that is being created: reserved, and not committed yet."""
    project = new_project(cloud)
    new_volume(cloud, project, status="creating", updated_at=cloud.ago(60))
    _usage(cloud, project, "volumes", 0, reserved=1)
    usage = cloud.rows("cinder", "SELECT id FROM quota_usages WHERE project_id = :p", {"p": project})[0]["id"]
    cloud.insert(
        "cinder", "reservations", uuid=str(uuid.uuid4()), usage_id=usage, project_id=project, resource="volumes",
        delta=1, expire=cloud.ago(-86400), created_at=cloud.ago(60), deleted=0,
    )  # fmt: skip


def groups(cloud: CloudRows) -> None:
    """A usage of something that is not counted here."""
    _usage(cloud, new_project(cloud), "groups", 3)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "right": right,
    "migrated": migrated,
    "request_in_progress": request_in_progress,
    "groups": groups,
}
