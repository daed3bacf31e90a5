# SPDX-License-Identifier: Apache-2.0
"""The mapping of a server outlives all its rows."""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "instance-mapping-without-server",
    "instance-mapping-without-server",
    "sql",
    "a mapping stays behind for a server of which its cell has no row, as old releases archived",
)


def make(plane: Plane) -> dict[str, Any]:
    """Nothing else is left of the server."""
    scene = Scene(plane, BREAK.name)
    server = str(uuid.uuid4())
    scene.sql(
        "nova_api",
        "INSERT INTO instance_mappings (created_at, instance_uuid, cell_id, project_id, queued_for_delete)"
        " SELECT UTC_TIMESTAMP() - INTERVAL 1 DAY, %s, MAX(id), 'gone', 0 FROM cell_mappings",
        server,
    )
    return {"server": server}
