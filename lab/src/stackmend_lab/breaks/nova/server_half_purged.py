# SPDX-License-Identifier: Apache-2.0
"""A live server loses its row in instance_extra."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "server-half-purged",
    "server-half-purged",
    "sql",
    "the instance_extra row of a live server is deleted, as by a purge script that stopped at a foreign key",
)


def make(plane: Plane) -> dict[str, Any]:
    """The first statement of such a script. The host's resource tracker fails from now on."""
    scene = Scene(plane, BREAK.name)
    server = scene.server(host=scene.aside)
    scene.past(servers=server)
    scene.sql(scene.cell, "DELETE FROM instance_extra WHERE instance_uuid = %s", server)
    return {"server": server}
