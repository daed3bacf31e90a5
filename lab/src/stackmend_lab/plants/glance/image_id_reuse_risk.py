# SPDX-License-Identifier: Apache-2.0
"""Images that Glance has forgotten while something was made from them (catalogue J7)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend.tables.glance import RESERVED
from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._images import OLD, mark_children, new_image
from stackmend_lab.plants._volumes import child, new_volume


def _built_from(cloud: CloudRows, image: str, **values: Any) -> None:
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, image_ref=image, **values)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The image of a server was deleted, and its row was purged."""
    image = str(uuid.uuid4())
    _built_from(cloud, image)
    return {"image": image}


def of_volumes(cloud: CloudRows) -> dict[str, Any]:
    """Two volumes were made from an image that was purged."""
    image = str(uuid.uuid4())
    for _ in range(2):
        child(cloud, "volume_glance_metadata", new_volume(cloud), key="image_id", value=image)
    return {"image": image}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"of_volumes": of_volumes}


def deleted(cloud: CloudRows) -> None:
    """The image of a server was deleted, and Glance remembers its id."""
    image = new_image(cloud, status="deleted", deleted=1, deleted_at=cloud.ago(OLD))
    mark_children(cloud, image, "image_locations", "image_properties", "image_tags")
    _built_from(cloud, image)


def reserved(cloud: CloudRows) -> None:
    """The id of the image was reserved long ago."""
    written = cloud.ago(90 * 86400)
    empty = {"status": "queued", "size": None, "checksum": None}
    image = new_image(cloud, located=False, name=RESERVED, created_at=written, updated_at=written, **empty)
    _built_from(cloud, image)


def just_built(cloud: CloudRows) -> None:
    """A server was built a minute ago from an image that was created after Glance was read."""
    _built_from(cloud, str(uuid.uuid4()), updated_at=cloud.ago(60))


def of_a_deleted_server(cloud: CloudRows) -> None:
    """The server is deleted, like the image that it was made from."""
    server = cloud.pick("deleted")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, image_ref=str(uuid.uuid4()))


def of_a_deleted_volume(cloud: CloudRows) -> None:
    """The volume is deleted, and its record of the image too."""
    gone: dict[str, Any] = {"deleted": 1, "deleted_at": cloud.ago(OLD)}
    volume = new_volume(cloud, status="deleted", attach_status="detached", terminated_at=cloud.ago(OLD), **gone)
    cloud.update("cinder", "volume_metadata", {"volume_id": volume}, **gone)
    child(cloud, "volume_glance_metadata", volume, key="image_id", value=str(uuid.uuid4()), **gone)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "deleted": deleted,
    "reserved": reserved,
    "just_built": just_built,
    "of_a_deleted_server": of_a_deleted_server,
    "of_a_deleted_volume": of_a_deleted_volume,
}
