# SPDX-License-Identifier: Apache-2.0
"""A network cache is truncated."""

from __future__ import annotations

import json
from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "unreadable-row",
    "unreadable-row",
    "sql",
    "the network cache of a server without NICs is cut short, as by an interrupted write",
)


def make(plane: Plane) -> dict[str, Any]:
    """Leave invalid JSON. The server has no NIC, so that nothing else is wrong with it.

    nova-compute on its host cannot start with it once it is stopped.
    """
    scene = Scene(plane, BREAK.name)
    server = scene.server([], scene.aside)
    cut = "UPDATE instance_info_caches SET network_info = %s WHERE instance_uuid = %s"
    scene.sql(scene.cell, cut, '[{"id": ', server)
    row = scene.sql(scene.cell, "SELECT id FROM instance_info_caches WHERE instance_uuid = %s", server)[0]["id"]
    scene.past(servers=server)
    return {
        "database": scene.cell,
        "table_name": "instance_info_caches",
        "row_key": json.dumps({"id": row}),
        "column_name": "network_info",
    }
