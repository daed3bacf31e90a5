# SPDX-License-Identifier: Apache-2.0
"""A DHCP port is left behind by an agent that is gone."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "dhcp-port-stale",
    "dhcp-port-stale",
    "service",
    "DHCP of a subnet is switched off after its only agent has gone, and nobody deletes the agent's port",
)


def make(plane: Plane) -> dict[str, Any]:
    """A lab has no DHCP agents: the port is made as an agent makes it, and is two days old."""
    scene = Scene(plane, BREAK.name)
    network, subnet = scene.own_network()
    device = f"dhcp{uuid.uuid5(uuid.NAMESPACE_DNS, scene.host)}-{network}"
    port = scene.own_port(network_id=network, name="", device_id=device, device_owner="network:dhcp",
                          binding_host_id=scene.host)  # fmt: skip
    scene.cloud.network.update_subnet(subnet, is_dhcp_enabled=False)
    sql = "UPDATE standardattributes a JOIN ports p ON p.standard_attr_id = a.id SET a.updated_at = %s WHERE p.id = %s"
    scene.sql("neutron", sql, datetime.now(UTC) - timedelta(days=2), port)
    return {"port": port}
