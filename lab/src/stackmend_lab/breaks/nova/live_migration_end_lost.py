# SPDX-License-Identifier: Apache-2.0
"""nova-compute is killed during a live migration, after the guest has moved, and does not come back."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "live-migration-end-lost",
    "server-wrong-host",
    "service",
    "nova-compute is killed in a live migration when the guest has moved, and stays down: nobody notes the end",
)


def make(plane: Plane) -> dict[str, Any]:
    """For Nova, the migration runs for ever, and the server stays on the source, migrating.

    'stackmend lab heal' starts the service again: it gives up the migration, and the damage is that of
    server-wrong-host.
    """
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    scene.lost_in_move(server, "post_live_migration_at_source")
    return {"server": server}
