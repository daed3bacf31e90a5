# SPDX-License-Identifier: Apache-2.0
"""nova-compute is killed while it waits for Cinder to detach: the response is lost, the attachment is gone."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait_volume

BREAK = Break(
    "nova-bdm-cinder-detached",
    "nova-bdm-cinder-detached",
    "service",
    "nova-compute is killed while Cinder removes an attachment for it: the answer finds nobody",
)


def make(plane: Plane) -> dict[str, Any]:
    """Cinder finishes its part; Nova's mapping stays."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    volume = scene.attached(server)
    compute = f"nova-compute-{scene.host}"
    with scene.held("cinder", "disconnect"):
        scene.cloud.compute.delete_volume_attachment(server, volume)
        scene.wait_held("cinder", "disconnect")
        scene.crash(compute)
    wait_volume(scene.connection, volume, "available")
    scene.revive(compute)
    mapping = "SELECT id FROM block_device_mapping WHERE volume_id = %s AND deleted = 0"
    bdm = scene.sql(scene.cell, mapping, volume)[0]["id"]
    scene.past(servers=server, volumes=volume)
    return {"server": server, "volume": volume, "bdm": bdm}
