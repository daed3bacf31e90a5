# SPDX-License-Identifier: Apache-2.0
"""Migrations of volumes that were cut off (catalogue H15)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import new_volume

_DAYS, _HOURS = 3 * 86400, 9 * 3600


def _destination(cloud: CloudRows, source: str, age: float, **values: Any) -> str:
    """The volume that a migration of that one copies to."""
    own = {"migration_status": f"target:{source}", "use_quota": 0, "updated_at": cloud.ago(age)}
    return new_volume(cloud, **{**own, **values})


def plant(cloud: CloudRows) -> dict[str, Any]:
    """cinder-volume was restarted while it copied the volume."""
    volume = new_volume(cloud, migration_status="migrating", updated_at=cloud.ago(_DAYS))
    _destination(cloud, volume, _DAYS, status="creating")
    return {"volume": volume, "source": volume}


def completing(cloud: CloudRows) -> dict[str, Any]:
    """The copy was completed, and the message that swaps the two was lost; the destination is gone."""
    volume = new_volume(cloud, migration_status="completing", updated_at=cloud.ago(_DAYS))
    return {"volume": volume, "source": volume}


def destination(cloud: CloudRows) -> dict[str, Any]:
    """An administrator reset the status of the source, and forgot the destination."""
    source = new_volume(cloud)
    return {"volume": _destination(cloud, source, _HOURS), "source": source}


def source_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The source was deleted and purged."""
    source = str(uuid.uuid4())
    return {"volume": _destination(cloud, source, _HOURS), "source": source}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "completing": completing,
    "destination": destination,
    "source_deleted": source_deleted,
}
NOT_REPAIRED = dict.fromkeys(("plant", *VARIANTS), "which copy is used")


def copying(cloud: CloudRows) -> None:
    """A large volume, copied for three days: the destination reports its progress."""
    volume = new_volume(cloud, migration_status="migrating", updated_at=cloud.ago(_DAYS))
    _destination(cloud, volume, 60)


def large(cloud: CloudRows) -> None:
    """A migration that began nine hours ago."""
    volume = new_volume(cloud, migration_status="migrating", updated_at=cloud.ago(_HOURS))
    _destination(cloud, volume, _HOURS)


def just_begun(cloud: CloudRows) -> None:
    """The destination was made a minute ago, before the status of the source."""
    _destination(cloud, new_volume(cloud), 60)


def migrated(cloud: CloudRows) -> None:
    """A volume that was migrated long ago."""
    new_volume(cloud, migration_status="success")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "copying": copying,
    "large": large,
    "just_begun": just_begun,
    "migrated": migrated,
}
