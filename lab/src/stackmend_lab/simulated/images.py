# SPDX-License-Identifier: Apache-2.0
"""Glance's API: images (glance/api/v2/images.py)."""

from __future__ import annotations

from typing import Any

from stackmend_lab.simulated.things import Json, Refused
from stackmend_lab.simulated.world import World


def answer(world: World, method: str, parts: list[str], body: Json) -> tuple[int, Any]:
    """(status, body)."""
    if parts[0] != "images":
        raise Refused(404, "The resource could not be found.")
    if len(parts) == 1 and method == "POST":
        made = {"id": world.uuid(), "status": "queued", "min_disk": 0, "min_ram": 0, **body}
        world.images[made["id"]] = made
        return 201, dict(made)
    if len(parts) == 1:
        return 200, {"images": [dict(one) for one in world.images.values()]}
    if parts[1] not in world.images:
        raise Refused(404, f"No image found with ID {parts[1]}")
    if method == "DELETE":
        del world.images[parts[1]]
        return 204, None
    return 200, dict(world.images[parts[1]])
