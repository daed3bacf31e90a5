# SPDX-License-Identifier: Apache-2.0
"""An image bears the marks of an import that is over."""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "image-import-lock-stale",
    "image-import-lock-stale",
    "sql",
    "an import ended without taking its marks off the image, and its task was purged",
)


def make(plane: Plane) -> dict[str, Any]:
    """The image is whole."""
    scene = Scene(plane, BREAK.name)
    image = scene.image()
    marks = {"os_glance_import_task": str(uuid.uuid4()), "os_glance_importing_to_stores": "archive"}
    for name, value in marks.items():
        mark = "INSERT INTO image_properties (image_id, name, value, created_at, updated_at, deleted)"
        mark += " VALUES (%s, %s, %s, UTC_TIMESTAMP(), UTC_TIMESTAMP(), 0)"
        scene.sql("glance", mark, image, name, value)
    scene.past(images=image)
    return {"image": image}
