# SPDX-License-Identifier: Apache-2.0
"""A server holds the bandwidth of a port that it no longer has."""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "port-allocation-leak",
    "port-allocation-leak",
    "service",
    "the port with a guaranteed bandwidth was deleted in Neutron while a server had it",
)
_KIND = "NET_BW_EGR_KILOBIT_PER_SEC"


def make(plane: Plane) -> dict[str, Any]:
    """Placement gets a network card below the host as from Neutron, and the allocation on it as from Nova."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    card = str(uuid.uuid4())
    (host,) = scene.placement("GET", f"/resource_providers?name={scene.host}")["resource_providers"]
    new = {"name": f"{scene.host}:{card}", "uuid": card, "parent_provider_uuid": host["uuid"]}
    made = scene.placement("POST", "/resource_providers", new)
    inventories = {"resource_provider_generation": made["generation"], "inventories": {_KIND: {"total": 10_000_000}}}
    scene.placement("PUT", f"/resource_providers/{card}/inventories", inventories)
    held = scene.placement("GET", f"/allocations/{server}")
    held["allocations"] = {name: {"resources": one["resources"]} for name, one in held["allocations"].items()}
    held["allocations"][card] = {"resources": {_KIND: 1000}}
    scene.placement("PUT", f"/allocations/{server}", held)
    scene.past(servers=server)
    return {"server": server, "provider": card, "port": ""}
