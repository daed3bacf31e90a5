# SPDX-License-Identifier: Apache-2.0
"""nova-compute is killed in the middle of a live migration, before the guest has moved."""

from __future__ import annotations

from typing import Any

from stackmend.lab.breaks import Break
from stackmend.lab.breaks._scene import Scene
from stackmend.lab.plane import Plane

BREAK = Break(
    "allocation-wrong-provider",
    "allocation-wrong-provider",
    "service",
    "nova-compute is killed in the middle of a live migration: the capacity stays with the target",
    also=("allocation-orphan",),
)


def make(plane: Plane) -> dict[str, Any]:
    """The source gives the migration up when it is back; what was reserved for it is not given back."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    target = scene.other_host()
    compute = f"nova-compute-{scene.host}"
    with scene.held(scene.host, "live_migration"):
        scene.cloud.compute.live_migrate_server(server, host=target, block_migration="auto")
        scene.wait_held(scene.host, "live_migration")
        scene.crash(compute)
    scene.revive(compute)
    scene.wait_row(scene.cell, "SELECT uuid FROM instances WHERE uuid = %s AND task_state IS NULL", server)
    statement = "SELECT uuid FROM migrations WHERE instance_uuid = %s"
    scene.past(servers=server, consumers=[row["uuid"] for row in scene.sql(scene.cell, statement, server)])
    wrong = scene.sql("placement", "SELECT uuid FROM resource_providers WHERE name = %s", target)
    return {"server": server, "wrong_provider": wrong[0]["uuid"]}
