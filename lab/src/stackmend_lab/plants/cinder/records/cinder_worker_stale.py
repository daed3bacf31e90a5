# SPDX-License-Identifier: Apache-2.0
"""Records of work in Cinder that no longer fit (catalogue H25)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, new_volume, worker
from stackmend_lab.plants.cinder.volume_stuck_error_deleting import new_snapshot

_DAYS = 3 * 86400


def _old(cloud: CloudRows, resource: str, status: str, kind: str = "Volume") -> dict[str, Any]:
    return {"worker": worker(cloud, resource, status, kind, updated_at=cloud.ago(_DAYS))}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The status of a volume was set to available in the database: the record says that it is being deleted."""
    return _old(cloud, new_volume(cloud), "deleting")


def snapshot(cloud: CloudRows) -> dict[str, Any]:
    """cinder-volume died after it had created a snapshot."""
    return _old(cloud, new_snapshot(cloud, new_volume(cloud)), "creating", "Snapshot")


def purged(cloud: CloudRows) -> dict[str, Any]:
    """The volume was deleted and purged."""
    return _old(cloud, str(uuid.uuid4()), "deleting")


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"snapshot": snapshot, "purged": purged}


def at_work(cloud: CloudRows) -> None:
    """A service downloads an image into a volume."""
    volume = new_volume(cloud, status="downloading", updated_at=cloud.ago(60))
    worker(cloud, volume, "downloading", updated_at=cloud.ago(60))


def between_two_writes(cloud: CloudRows) -> None:
    """A service has just finished, and is about to remove its record."""
    worker(cloud, new_volume(cloud, updated_at=cloud.ago(1)), "creating", updated_at=cloud.ago(60))


def sentinel(cloud: CloudRows) -> None:
    """The row with which releases before Xena found out whether the database keeps fractions of a second."""
    cloud.delete("cinder", "workers", {"resource_type": "SENTINEL"})
    worker(cloud, "SUB-SECOND", "OK", "SENTINEL", updated_at=cloud.ago(30 * OLD))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "at_work": at_work,
    "between_two_writes": between_two_writes,
    "sentinel": sentinel,
}
