# SPDX-License-Identifier: Apache-2.0
"""A server is deleted while Placement is down, and its row archived before its host has looked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stackmend.lab.breaks import Break
from stackmend.lab.breaks._scene import Scene
from stackmend.lab.plane import Plane

BREAK = Break(
    "allocation-orphan",
    "allocation-orphan",
    "service",
    "a server is deleted while Placement is down, and archived by nova-manage before Placement is back",
)


def make(plane: Plane) -> dict[str, Any]:
    """The host would tidy up after a deleted server whose row is still there; after an archived one it does not."""
    scene = Scene(plane, BREAK.name)
    server = scene.server([])
    plane.stop("placement")
    scene.cloud.compute.delete_server(server)
    scene.wait_row(scene.cell, "SELECT uuid FROM instances WHERE uuid = %s AND deleted = id", server)
    scene.past(servers=server)
    before = datetime.now(UTC) - timedelta(hours=2)
    plane.manage("nova-manage", "db", "archive_deleted_rows", "--before", f"{before:%Y-%m-%d %H:%M:%S}")
    scene.revive("placement")
    return {"consumer": server}
