# SPDX-License-Identifier: Apache-2.0
"""A server is deleted, but its mapping is not marked."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait

BREAK = Break(
    "server-deleted-incompletely",
    "server-deleted-incompletely",
    "sql",
    "a server is deleted by Nova, but queued_for_delete of its mapping is not set, as after a crash in between",
)


def make(plane: Plane) -> dict[str, Any]:
    """In the last cell: archiving deleted rows in the first one does not affect it."""
    scene = Scene(plane, BREAK.name)
    host, cell = list(plane.layout.hosts.items())[-1]
    server = scene.server([], host)
    scene.cloud.compute.delete_server(server)
    wait(
        lambda: scene.sql(f"cell:{cell}", "SELECT uuid FROM instances WHERE uuid = %s AND deleted = id", server),
        f"server {server} to be deleted",
    )
    statement = "UPDATE instance_mappings SET queued_for_delete = 0 WHERE instance_uuid = %s"
    scene.sql("nova_api", statement, server)
    scene.past(servers=server)
    return {"server": server, "cell": cell}
