# SPDX-License-Identifier: Apache-2.0
"""Active images of which Glance does not know where their content is (catalogue J3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._images import child, mark_children, new_image


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A deletion failed after it had marked the location, and the image was set to active again."""
    image = new_image(cloud)
    mark_children(cloud, image, "image_locations")
    return {"image": image}


def deactivated(cloud: CloudRows) -> dict[str, Any]:
    """The same with an image that an administrator had deactivated."""
    image = new_image(cloud, status="deactivated")
    mark_children(cloud, image, "image_locations")
    return {"image": image}


def never_located(cloud: CloudRows) -> dict[str, Any]:
    """The row of the location was deleted by SQL."""
    return {"image": new_image(cloud, located=False)}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "deactivated": deactivated,
    "never_located": never_located,
}
NOT_REPAIRED = {"never_located": "look in the stores"}


def of_a_volume(cloud: CloudRows) -> None:
    """An image of a volume-backed server: it has no content, only references to snapshots."""
    child(cloud, "image_properties", new_image(cloud, located=False, size=0), name="block_device_mapping", value="[]")


def of_a_volume_with_a_size(cloud: CloudRows) -> None:
    """The same, from a release that recorded a size."""
    child(cloud, "image_properties", new_image(cloud, located=False), name="block_device_mapping", value="[]")


def queued(cloud: CloudRows) -> None:
    """An image whose content is still to be uploaded."""
    new_image(cloud, located=False, status="queued", size=None, updated_at=cloud.ago(60), created_at=cloud.ago(60))


def one_of_two(cloud: CloudRows) -> None:
    """An image in two stores that was deleted from one."""
    image = new_image(cloud)
    mark_children(cloud, image, "image_locations")
    child(cloud, "image_locations", image, value=f"swift://x/{image}", meta_data="{}", status="active")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "of_a_volume": of_a_volume,
    "of_a_volume_with_a_size": of_a_volume_with_a_size,
    "queued": queued,
    "one_of_two": one_of_two,
}
