# SPDX-License-Identifier: Apache-2.0
"""An image is active, and Glance does not know where its content is."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "image-active-without-location",
    "image-active-without-location",
    "sql",
    "a deletion failed after it had marked an image's location, and the image was set to active again",
)


def make(plane: Plane) -> dict[str, Any]:
    """The content stays in the store."""
    scene = Scene(plane, BREAK.name)
    image = scene.image()
    gone = (
        "UPDATE image_locations SET deleted = 1, deleted_at = UTC_TIMESTAMP(), status = 'deleted' WHERE image_id = %s"
    )
    scene.sql("glance", gone, image)
    scene.past(images=image)
    return {"image": image}
