# SPDX-License-Identifier: Apache-2.0
"""Deleted rows of Glance that nobody purges (catalogue J6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._growth import DAY, LONG, MANY, many
from stackmend_lab.plants._images import mark_children, new_image

_ALL = ("image_locations", "image_properties", "image_members", "image_tags")


def _tagged(cloud: CloudRows, age: float, number: int = MANY) -> None:
    """Tags of an image that was deleted well."""
    gone = cloud.ago(age)
    image = new_image(cloud, status="deleted", deleted=1, deleted_at=gone)
    mark_children(cloud, image, *_ALL)
    many(
        cloud, "glance", "image_tags", number, image_id=image, value="nightly", created_at=gone, updated_at=gone,
        deleted=1, deleted_at=gone,
    )  # fmt: skip


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Images come and go for years, and nobody purges."""
    _tagged(cloud, LONG)
    return {"service": "glance"}


NOT_REPAIRED = {"plant": "glance-manage db purge --age_in_days 180"}


def lately(cloud: CloudRows) -> None:
    """As many, of the last months."""
    _tagged(cloud, 90 * DAY)


def a_few(cloud: CloudRows) -> None:
    """A hundred of old."""
    _tagged(cloud, LONG, 100)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"lately": lately, "a_few": a_few}
