# SPDX-License-Identifier: Apache-2.0
"""A row of standard attributes outlives its resource."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "standardattr-orphan",
    "standardattr-orphan",
    "sql",
    "a port with a tag is deleted by SQL; its standard attributes and its tag stay",
)


def make(plane: Plane) -> dict[str, Any]:
    """Neutron makes the port and the tag."""
    scene = Scene(plane, BREAK.name)
    # without an address, which another check would miss
    port = scene.own_port(fixed_ips=[])
    scene.cloud.network.set_tags(scene.cloud.network.get_port(port), ["mail"])
    scene.past(ports=port)
    row = scene.sql("neutron", "SELECT standard_attr_id AS attribute FROM ports WHERE id = %s", port)[0]
    scene.sql("neutron", "DELETE FROM ports WHERE id = %s", port)
    return {"attribute": row["attribute"]}
