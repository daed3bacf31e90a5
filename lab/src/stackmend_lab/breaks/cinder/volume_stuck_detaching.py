# SPDX-License-Identifier: Apache-2.0
"""nova-compute is killed in the middle of a detach, before anything was detached."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "volume-stuck-detaching",
    "volume-stuck-detaching",
    "service",
    "nova-compute is killed while the guest is asked to let go of a volume",
)


def make(plane: Plane) -> dict[str, Any]:
    """Mapping and attachment are both still there; the host runs again afterwards."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    volume = scene.attached(server)
    compute = f"nova-compute-{scene.host}"
    with scene.held(scene.host, "detach_volume"):
        scene.cloud.compute.delete_volume_attachment(server, volume)
        scene.wait_held(scene.host, "detach_volume")
        scene.crash(compute)
    scene.revive(compute)
    scene.past(servers=server, volumes=volume)
    return {"volume": volume, "server": server}
