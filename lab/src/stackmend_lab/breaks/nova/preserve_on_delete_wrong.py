# SPDX-License-Identifier: Apache-2.0
"""Nova heals an empty network cache, but no longer knows who created the ports."""

from __future__ import annotations

import json
from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait

BREAK = Break(
    "preserve-on-delete-wrong",
    "preserve-on-delete-wrong",
    "service",
    "an emptied network cache is rebuilt by Nova's own periodic task, which takes every port for its own",
)


def make(plane: Plane) -> dict[str, Any]:
    """On the last host, which has few servers: Nova heals the servers of a host with healing enabled one by one."""
    scene = Scene(plane, BREAK.name)
    host, cell = list(plane.layout.hosts.items())[-1]
    port = scene.own_port()
    server = scene.server([{"port": port}], host)
    scene.write_cache(server, "[]", f"cell:{cell}")
    compute = f"nova-compute-{host}"
    plane.stop(compute)
    plane.configure(f"compute-{host}", {"DEFAULT": {"heal_instance_info_cache_interval": 1}})
    scene.revive(compute)
    cache = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = %s"
    wait(lambda: json.loads(scene.sql(f"cell:{cell}", cache, server)[0]["network_info"]), f"the cache of {server}", 180)
    plane.stop(compute)
    plane.configure(f"compute-{host}", {})
    scene.revive(compute)
    scene.past(servers=server)
    return {"server": server, "port": port}
