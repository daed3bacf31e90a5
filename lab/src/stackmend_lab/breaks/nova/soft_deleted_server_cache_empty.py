# SPDX-License-Identifier: Apache-2.0
"""A soft-deleted server awaits its reclaim or restore, and its network cache is emptied."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait_server

BREAK = Break(
    "soft-deleted-server-cache-empty",
    "soft-deleted-server-cache-empty",
    "sql",
    "the network cache of a soft-deleted server with a port of its owner's and one of Nova's becomes []",
)


def make(plane: Plane) -> dict[str, Any]:
    """Stopped, then marked as by nova-api and nova-compute with ``reclaim_instance_interval``, which is not set here.

    So nothing reclaims it meanwhile.
    """
    scene = Scene(plane, BREAK.name)
    server = scene.server([{"port": scene.own_port()}, {"uuid": scene.network(1)}])
    scene.cloud.compute.stop_server(server)
    wait_server(scene.connection, server, "SHUTOFF")
    marked = "UPDATE instances SET vm_state = 'soft-delete', deleted_at = UTC_TIMESTAMP() WHERE uuid = %s"
    scene.sql(scene.cell, marked, server)
    scene.sql("nova_api", "UPDATE instance_mappings SET queued_for_delete = 1 WHERE instance_uuid = %s", server)
    scene.write_cache(server, "[]")
    scene.past(servers=server)
    return {"server": server}
