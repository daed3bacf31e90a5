# SPDX-License-Identifier: Apache-2.0
"""Backups deleted without everything that belongs to them (catalogue H26)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, new_backup, new_volume


def _metadata(cloud: CloudRows, name: str, **values: Any) -> None:
    row = {"backup_id": name, "key": "by", "value": "nightly", "created_at": cloud.ago(OLD), "deleted": 0}
    cloud.insert("cinder", "backup_metadata", **{**row, **values})


def _gone(cloud: CloudRows, **gone: Any) -> dict[str, Any]:
    name = new_backup(cloud, new_volume(cloud), status="deleted", deleted=1, **gone)
    _metadata(cloud, name)
    return {"backup": name}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Marked by hand, with the time: its metadata is not."""
    return _gone(cloud, deleted_at=cloud.ago(OLD))


def no_time(cloud: CloudRows) -> dict[str, Any]:
    """Marked by hand, without the time."""
    return _gone(cloud)


NOT_ON_LAB = "it has no cinder-backup"
VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"no_time": no_time}


def deleted_well(cloud: CloudRows) -> None:
    """Deleted by Cinder, with the time and its metadata."""
    name = _gone(cloud, deleted_at=cloud.ago(OLD))["backup"]
    cloud.update("cinder", "backup_metadata", {"backup_id": name}, deleted=1, deleted_at=cloud.ago(OLD))


def alive(cloud: CloudRows) -> None:
    """A live backup with its metadata."""
    _metadata(cloud, new_backup(cloud, new_volume(cloud)))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"deleted_well": deleted_well, "alive": alive}
