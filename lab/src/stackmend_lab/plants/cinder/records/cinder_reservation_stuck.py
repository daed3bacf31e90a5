# SPDX-License-Identifier: Apache-2.0
"""Quota reservations of Cinder that outlived their expiry (catalogue H21)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, new_project

_DAY = 86400


def _reserve(cloud: CloudRows, delta: int, resource: str, expired: float, **values: Any) -> int:
    """Insert a reservation of a project that has one volume, and the usage that counts it; returns its id."""
    project = new_project(cloud)
    usage = cloud.insert(
        "cinder", "quota_usages", project_id=project, resource=f"{resource}_{uuid.uuid4().hex[:8]}", in_use=0,
        reserved=max(delta, 0), race_preventer=1, created_at=cloud.ago(9 * _DAY), deleted=0,
    )  # fmt: skip
    defaults = {
        "uuid": str(uuid.uuid4()),
        "usage_id": usage,
        "project_id": project,
        "resource": resource,
        "delta": delta,
        "expire": cloud.ago(expired),
        "created_at": cloud.ago(expired + _DAY),
        "deleted": 0,
    }
    return int(cloud.insert("cinder", "reservations", **{**defaults, **values}))


def plant(cloud: CloudRows) -> dict[str, Any]:
    """cinder-api died between the reservation of ten gigabytes and its commit."""
    return {"reservation": _reserve(cloud, 10, "gigabytes", 3 * _DAY)}


def negative(cloud: CloudRows) -> dict[str, Any]:
    """cinder-volume died while it deleted a volume: what it would have given back was never counted as reserved."""
    return {"reservation": _reserve(cloud, -1, "volumes", 3 * _DAY)}


def counted_no_more(cloud: CloudRows) -> dict[str, Any]:
    """The usage was corrected by cinder-manage quota sync, and the reservation left."""
    number = _reserve(cloud, 4, "snapshots", 3 * _DAY)
    usage = cloud.rows("cinder", "SELECT usage_id FROM reservations WHERE id = :r", {"r": number})[0]["usage_id"]
    cloud.update("cinder", "quota_usages", {"id": usage}, reserved=0)
    return {"reservation": number}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "negative": negative,
    "counted_no_more": counted_no_more,
}


def in_progress(cloud: CloudRows) -> None:
    """A reservation that expires tomorrow."""
    _reserve(cloud, 10, "gigabytes", -_DAY)


def before_the_periodic_task(cloud: CloudRows) -> None:
    """Expired an hour ago: the scheduler removes it at its next round."""
    _reserve(cloud, 10, "gigabytes", 3600)


def removed(cloud: CloudRows) -> None:
    """Removed by the scheduler."""
    _reserve(cloud, -10, "gigabytes", 3 * _DAY, deleted=1, deleted_at=cloud.ago(OLD))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "in_progress": in_progress,
    "before_the_periodic_task": before_the_periodic_task,
    "removed": removed,
}
