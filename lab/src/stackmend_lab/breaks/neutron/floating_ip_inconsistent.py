# SPDX-License-Identifier: Apache-2.0
"""A floating IP leads to an address that its port does not have."""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "floating-ip-inconsistent",
    "floating-ip-inconsistent",
    "sql",
    "the address of a port was changed by SQL; its floating IP leads to the old one",
)


def make(plane: Plane) -> dict[str, Any]:
    """Neutron makes a router between two networks of their own, and the floating IP of a port."""
    scene = Scene(plane, BREAK.name)
    neutron = scene.cloud.network
    public, _ = scene.own_network("10.10.0.0/24", is_router_external=True)
    inside, subnet = scene.own_network()
    router = neutron.create_router(name=scene.name(), external_gateway_info={"network_id": public})
    neutron.add_interface_to_router(router, subnet=subnet)
    port = scene.own_port(network_id=inside)
    made = neutron.create_ip(floating_network_id=public, port_id=port)
    wrong = made.fixed_ip_address.rpartition(".")[0] + ".254"
    scene.sql("neutron", "UPDATE floatingips SET fixed_ip_address = %s WHERE id = %s", wrong, made.id)
    old = "a.updated_at = a.updated_at - INTERVAL 3 HOUR, a.created_at = a.created_at - INTERVAL 3 HOUR"
    joined = f"UPDATE standardattributes a JOIN floatingips f ON f.standard_attr_id = a.id SET {old} WHERE f.id = %s"
    scene.sql("neutron", joined, made.id)
    return {"floating_ip": made.id, "code": "fixed-address", "port": port, "router": router.id, "subnet": subnet}
