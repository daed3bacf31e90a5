# SPDX-License-Identifier: Apache-2.0
"""Images deleted without everything that belongs to them (catalogue J6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._images import OLD, mark_children, new_image

_ALL = ("image_locations", "image_properties", "image_members", "image_tags")


def _deleted(cloud: CloudRows, *marked: str, **values: Any) -> dict[str, Any]:
    gone: dict[str, Any] = {"status": "deleted", "deleted": 1, "deleted_at": cloud.ago(OLD)}
    image = new_image(cloud, **{**gone, **values})
    mark_children(cloud, image, *marked)
    return {"image": image}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Marked by hand, with the time: nothing that belongs to it is."""
    return _deleted(cloud)


def children(cloud: CloudRows) -> dict[str, Any]:
    """Marked by hand with its location: its properties and tags are live."""
    return _deleted(cloud, "image_locations")


def no_time(cloud: CloudRows) -> dict[str, Any]:
    """Everything was marked by hand, without the time."""
    return _deleted(cloud, *_ALL, deleted_at=None)


def active(cloud: CloudRows) -> dict[str, Any]:
    """Everything was marked by hand, but its status forgotten."""
    return _deleted(cloud, *_ALL, status="active")


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "children": children,
    "no_time": no_time,
    "active": active,
}


def deleted_well(cloud: CloudRows) -> None:
    """Deleted by Glance."""
    _deleted(cloud, *_ALL)


def for_the_scrubber(cloud: CloudRows) -> None:
    """Deleted with delayed_delete: the scrubber will delete the content."""
    image = _deleted(cloud, *_ALL, status="pending_delete")["image"]
    cloud.update("glance", "image_locations", {"image_id": image}, status="pending_delete")


def location_replaced(cloud: CloudRows) -> None:
    """A live image of which one location was removed."""
    image = new_image(cloud)
    values = {"value": "file:///var/lib/glance/images/x", "meta_data": "{}", "status": "deleted", "deleted": 1}
    cloud.insert(
        "glance", "image_locations", image_id=image, created_at=cloud.ago(OLD), deleted_at=cloud.ago(OLD), **values
    )


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "deleted_well": deleted_well,
    "for_the_scrubber": for_the_scrubber,
    "location_replaced": location_replaced,
}
