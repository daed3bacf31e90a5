# SPDX-License-Identifier: Apache-2.0
"""Backups that count the wrong number of dependent ones (catalogue H19)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, new_backup, new_volume


def _chain(cloud: CloudRows, counted: int | None, children: int, **values: Any) -> dict[str, Any]:
    volume = new_volume(cloud)
    base = new_backup(cloud, volume, num_dependent_backups=counted)
    for _ in range(children):
        new_backup(cloud, volume, **{"parent_id": base, **values})
    return {"backup": base}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Two incremental backups ended at the same moment, and one was not counted (bug 2163042)."""
    return _chain(cloud, 1, 2)


def deleted_by_sql(cloud: CloudRows) -> dict[str, Any]:
    """The only incremental backup was deleted by SQL: its base cannot be deleted."""
    gone: dict[str, Any] = {"status": "deleted", "deleted": 1, "deleted_at": cloud.ago(OLD)}
    return _chain(cloud, 1, 1, **gone)


def never_counted(cloud: CloudRows) -> dict[str, Any]:
    """A base from before the counter was there."""
    return _chain(cloud, None, 1)


NOT_ON_LAB = "it has no cinder-backup"
VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "deleted_by_sql": deleted_by_sql,
    "never_counted": never_counted,
}


def right(cloud: CloudRows) -> None:
    """A base with two incremental backups."""
    _chain(cloud, 2, 2)


def being_created(cloud: CloudRows) -> None:
    """An incremental backup in creation is not counted yet."""
    _chain(cloud, 0, 1, status="creating", updated_at=cloud.ago(60))


def no_incremental(cloud: CloudRows) -> None:
    """A full backup that never had a dependent one."""
    _chain(cloud, None, 0)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "right": right,
    "being_created": being_created,
    "no_incremental": no_incremental,
}
