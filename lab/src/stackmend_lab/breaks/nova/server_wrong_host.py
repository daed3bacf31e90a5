# SPDX-License-Identifier: Apache-2.0
"""nova-compute is killed during a live migration, after the guest has moved and before Nova has recorded it."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "server-wrong-host",
    "server-wrong-host",
    "service",
    "nova-compute is killed in a live migration when the guest has moved and Nova has not noted it yet",
    also=("allocation-orphan",),
)


def make(plane: Plane) -> dict[str, Any]:
    """Ports and allocation are on the target, Nova names the source, and the guest runs on the target."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    scene.killed_in_move(server, "post_live_migration_at_source")
    return {"server": server}
