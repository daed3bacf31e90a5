# SPDX-License-Identifier: Apache-2.0
"""Entries of Cinder's image cache that lost their volume or image (catalogue H29)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, back_end, new_volume


def image(cloud: CloudRows) -> str:
    """A live image."""
    return str(cloud.rows("glance", "SELECT id FROM images WHERE deleted = 0 ORDER BY id")[0]["id"])


def entry(cloud: CloudRows, volume: str, of: str, used: float = OLD) -> int:
    """Insert an entry of the cache; returns its id."""
    values = {"image_updated_at": cloud.ago(9 * OLD), "size": 8, "last_used": cloud.ago(used)}
    return int(
        cloud.insert(
            "cinder", "image_volume_cache_entries", host=back_end(cloud), volume_id=volume, image_id=of, **values
        )
    )


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The volume of the cache was deleted by SQL, with all its rows, and the entry was forgotten."""
    gone: dict[str, Any] = {"deleted": 1, "deleted_at": cloud.ago(OLD)}
    volume = new_volume(cloud, status="deleted", **gone)
    cloud.update("cinder", "volume_metadata", {"volume_id": volume}, **gone)
    return {"entry": entry(cloud, volume, image(cloud))}


def purged(cloud: CloudRows) -> dict[str, Any]:
    """The volume was purged."""
    return {"entry": entry(cloud, str(uuid.uuid4()), image(cloud))}


def image_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The image was deleted and purged: its copy will never be used again."""
    return {"entry": entry(cloud, new_volume(cloud), str(uuid.uuid4()))}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"purged": purged, "image_deleted": image_deleted}
NOT_REPAIRED = {"image_deleted": "openstack volume delete"}


def used(cloud: CloudRows) -> None:
    """An entry as it should be."""
    entry(cloud, new_volume(cloud), image(cloud))


def being_evicted(cloud: CloudRows) -> None:
    """Cinder deletes the copy of an image that is gone."""
    entry(cloud, new_volume(cloud, status="deleting", updated_at=cloud.ago(60)), str(uuid.uuid4()))


def just_used(cloud: CloudRows) -> None:
    """An image that was deleted a minute after a volume was created from it."""
    entry(cloud, new_volume(cloud), str(uuid.uuid4()), 60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "used": used,
    "being_evicted": being_evicted,
    "just_used": just_used,
}
