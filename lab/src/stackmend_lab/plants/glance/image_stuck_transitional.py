# SPDX-License-Identifier: Apache-2.0
"""Images that never became active (catalogue J2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._images import OLD, child, mark_children, new_image
from stackmend_lab.plants._volumes import busy

_WEEKS = 14 * 86400


def _new(cloud: CloudRows, status: str, **values: Any) -> dict[str, Any]:
    empty = {"status": status, "located": False, "size": None, "checksum": None, "updated_at": cloud.ago(OLD)}
    return {"image": new_image(cloud, **{**empty, **values})}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """glance-api died during an upload."""
    return _new(cloud, "saving")


def never_uploaded(cloud: CloudRows) -> dict[str, Any]:
    """A script registered the image, and its upload failed."""
    return _new(cloud, "queued", updated_at=cloud.ago(_WEEKS))


def importing(cloud: CloudRows) -> dict[str, Any]:
    """The node with the staged data was replaced."""
    return _new(cloud, "importing")


def killed(cloud: CloudRows) -> dict[str, Any]:
    """An upload that failed in an old release."""
    return _new(cloud, "killed")


def not_scrubbed(cloud: CloudRows) -> dict[str, Any]:
    """Deleted with delayed_delete, and no scrubber runs."""
    gone: dict[str, Any] = {"deleted": 1, "deleted_at": cloud.ago(_WEEKS), "updated_at": cloud.ago(_WEEKS)}
    image = new_image(cloud, status="pending_delete", **gone)
    mark_children(cloud, image, "image_locations", "image_properties", "image_tags")
    return {"image": image}


def snapshot_failed(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute died while it made a snapshot; the server is idle by now."""
    key = _new(cloud, "saving")
    child(cloud, "image_properties", key["image"], name="instance_uuid", value=cloud.pick("active").uuid)
    return key


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "never_uploaded": never_uploaded,
    "importing": importing,
    "killed": killed,
    "not_scrubbed": not_scrubbed,
    "snapshot_failed": snapshot_failed,
}
NOT_REPAIRED = dict.fromkeys(("plant", *VARIANTS), "openstack image delete")


def registered(cloud: CloudRows) -> None:
    """An image registered the day before yesterday, whose content is still to come."""
    _new(cloud, "queued")


def slow_upload(cloud: CloudRows) -> None:
    """A large image that is uploaded for three hours."""
    _new(cloud, "saving", updated_at=cloud.ago(3 * 3600))


def snapshot_in_progress(cloud: CloudRows) -> None:
    """Nova has been uploading the snapshot of a large disk for two days."""
    server, image = cloud.pick("active"), _new(cloud, "saving")["image"]
    child(cloud, "image_properties", image, name="instance_uuid", value=server.uuid)
    busy(cloud, server, "image_uploading")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "registered": registered,
    "slow_upload": slow_upload,
    "snapshot_in_progress": snapshot_in_progress,
}
