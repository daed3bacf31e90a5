# SPDX-License-Identifier: Apache-2.0
"""Snapshots deleted without everything that belongs to them (catalogue H26)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, new_volume
from stackmend_lab.plants.cinder.volume_stuck_error_deleting import new_snapshot


def _metadata(cloud: CloudRows, name: str, **values: Any) -> None:
    row = {"snapshot_id": name, "key": "by", "value": "nightly", "created_at": cloud.ago(OLD), "deleted": 0}
    cloud.insert("cinder", "snapshot_metadata", **{**row, **values})


def _gone(cloud: CloudRows, **gone: Any) -> dict[str, Any]:
    name = new_snapshot(cloud, new_volume(cloud))
    _metadata(cloud, name)
    cloud.update("cinder", "snapshots", {"id": name}, status="deleted", **gone)
    return {"snapshot": name}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Marked by hand, with the time: its metadata and its volume are not."""
    return _gone(cloud, deleted=1, deleted_at=cloud.ago(OLD))


def no_time(cloud: CloudRows) -> dict[str, Any]:
    """Marked by hand, without the time."""
    return _gone(cloud, deleted=1)


def bootable(cloud: CloudRows) -> dict[str, Any]:
    """A snapshot of a boot volume, marked by hand: Cinder's record of its image is live."""
    key = _gone(cloud, deleted=1, deleted_at=cloud.ago(OLD))
    gone: dict[str, Any] = {"deleted": 1, "deleted_at": cloud.ago(OLD)}
    cloud.update("cinder", "snapshot_metadata", {"snapshot_id": key["snapshot"]}, **gone)
    row = {"snapshot_id": key["snapshot"], "key": "image_name", "value": "debian", "created_at": cloud.ago(OLD)}
    cloud.insert("cinder", "volume_glance_metadata", **row, deleted=0)
    return key


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"no_time": no_time, "bootable": bootable}


def deleted_well(cloud: CloudRows) -> None:
    """Deleted by Cinder, with the time and everything that belongs to it."""
    name = _gone(cloud, deleted=1, deleted_at=cloud.ago(OLD))["snapshot"]
    cloud.update("cinder", "snapshot_metadata", {"snapshot_id": name}, deleted=1, deleted_at=cloud.ago(OLD))


def alive(cloud: CloudRows) -> None:
    """A live snapshot with its metadata."""
    _metadata(cloud, new_snapshot(cloud, new_volume(cloud)))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"deleted_well": deleted_well, "alive": alive}
