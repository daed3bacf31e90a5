# SPDX-License-Identifier: Apache-2.0
"""nova-compute is killed in the middle of a live migration, before the guest has moved."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "allocation-wrong-provider",
    "allocation-wrong-provider",
    "service",
    "nova-compute is killed in the middle of a live migration: the capacity stays with the target",
    also=("allocation-orphan", "port-binding-inactive-leftover"),
)


def make(plane: Plane) -> dict[str, Any]:
    """The source gives up the migration when it is back, without releasing what was allocated for it."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    target = scene.killed_in_move(server, "live_migration")
    wrong = scene.sql("placement", "SELECT uuid FROM resource_providers WHERE name = %s", target)
    return {"server": server, "wrong_provider": wrong[0]["uuid"]}
