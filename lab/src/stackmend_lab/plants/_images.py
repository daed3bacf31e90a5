# SPDX-License-Identifier: Apache-2.0
"""Helpers for plants: images of their own."""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.cloud import CloudRows

#: seconds; longer than the age that any image check waits for
OLD = 2 * 86400


def new_image(cloud: CloudRows, *, located: bool = True, **values: Any) -> str:
    """Insert an active image with a location, a property and a tag; returns its id."""
    image = str(uuid.uuid4())
    owner = cloud.rows("keystone", "SELECT id FROM project WHERE is_domain = 0 ORDER BY id")[0]["id"]
    defaults = {
        "id": image,
        "name": "golden",
        "status": "active",
        "visibility": "private",
        "size": 1 << 20,
        "checksum": "0" * 32,
        "min_disk": 0,
        "min_ram": 0,
        "created_at": cloud.ago(2 * OLD),
        "updated_at": cloud.ago(OLD),
        "deleted": 0,
        "disk_format": "qcow2",
        "container_format": "bare",
        "owner": owner,
        "protected": 0,
        "os_hidden": 0,
    }
    cloud.insert("glance", "images", **{**defaults, **values})
    if located:
        child(cloud, "image_locations", image, value=f"rbd://fsid/images/{image}/snap", meta_data="{}", status="active")
    child(cloud, "image_properties", image, name="os_distro", value="debian")
    child(cloud, "image_tags", image, value="nightly")
    return image


def child(cloud: CloudRows, table: str, image: str, **values: Any) -> int:
    """Insert a live row that belongs to the image; returns its id."""
    defaults = {"image_id": image, "created_at": cloud.ago(OLD), "updated_at": cloud.ago(OLD), "deleted": 0}
    return int(cloud.insert("glance", table, **{**defaults, **values}))


def mark_children(cloud: CloudRows, image: str, *tables: str) -> None:
    """Mark the rows of the image in these tables deleted, as Glance does."""
    for table in tables:
        cloud.update("glance", table, {"image_id": image}, deleted=1, deleted_at=cloud.ago(OLD))
    if "image_locations" in tables:
        cloud.update("glance", "image_locations", {"image_id": image}, status="deleted")
