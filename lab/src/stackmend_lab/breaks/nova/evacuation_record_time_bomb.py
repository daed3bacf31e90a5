# SPDX-License-Identifier: Apache-2.0
"""A server has an evacuation record that makes its own host destroy it."""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "evacuation-record-time-bomb",
    "evacuation-record-time-bomb",
    "sql",
    "the conductor died after the API had recorded an evacuation: the next start of nova-compute destroys the guest",
)


def make(plane: Plane) -> dict[str, Any]:
    """On the last host of the first cell: no other break starts nova-compute there."""
    scene = Scene(plane, BREAK.name)
    server = scene.server(host=scene.aside)
    scene.sql(
        scene.cell,
        "INSERT INTO migrations (created_at, updated_at, deleted, uuid, instance_uuid, status, migration_type,"
        " source_compute, source_node, hidden) VALUES"
        " (UTC_TIMESTAMP(), UTC_TIMESTAMP(), 0, %s, %s, 'accepted', 'evacuation', %s, %s, 0)",
        str(uuid.uuid4()), server, scene.aside, scene.aside,
    )  # fmt: skip
    number = "SELECT id FROM migrations WHERE instance_uuid = %s AND migration_type = 'evacuation'"
    record = scene.sql(scene.cell, number, server)[0]["id"]
    scene.past(servers=server)
    return {"server": server, "record": record}
