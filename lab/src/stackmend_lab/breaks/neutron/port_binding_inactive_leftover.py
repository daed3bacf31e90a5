# SPDX-License-Identifier: Apache-2.0
"""nova-compute is killed during a live migration: the ports stay bound to the target as well."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "port-binding-inactive-leftover",
    "port-binding-inactive-leftover",
    "service",
    "nova-compute is killed in the middle of a live migration: the port keeps a binding on the target",
    also=("allocation-orphan", "allocation-wrong-provider"),
)


def make(plane: Plane) -> dict[str, Any]:
    """The source gives up the migration when it is back, and deletes nothing that was created for it on the target."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    (port,) = scene.ports(server)
    target = scene.killed_in_move(server, "live_migration")
    return {"server": server, "port": port, "left_host": target}
