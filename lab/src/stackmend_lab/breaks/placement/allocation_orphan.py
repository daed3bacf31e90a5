# SPDX-License-Identifier: Apache-2.0
"""A live migration ends while Placement is down: the migration's allocation on the source is not released."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "allocation-orphan",
    "allocation-orphan",
    "service",
    "Placement is down at the end of a live migration, which cannot give back what it held on the source",
)


def make(plane: Plane) -> dict[str, Any]:
    """The server works on its new host; the finished migration still has an allocation on the old one."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    target = scene.other_host()
    with scene.held(scene.host, "post_live_migration_at_source"):
        scene.cloud.compute.live_migrate_server(server, host=target, block_migration="auto")
        scene.wait_held(scene.host, "post_live_migration_at_source")
        plane.stop("placement")
    arrived = "SELECT uuid FROM instances WHERE uuid = %s AND host = %s AND task_state IS NULL"
    scene.wait_row(scene.cell, arrived, server, target)
    over = "SELECT uuid FROM migrations WHERE instance_uuid = %s AND status IN ('completed', 'error')"
    migration = scene.wait_row(scene.cell, over, server)["uuid"]
    scene.revive("placement")
    scene.past(servers=server, consumers=migration)
    return {"consumer": migration}
