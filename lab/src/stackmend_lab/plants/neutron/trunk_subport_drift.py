# SPDX-License-Identifier: Apache-2.0
"""Trunks and subports that disagree (catalogue I4)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import OLD, attribute, keep, new_port, new_subport


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The server was moved, and the agent did not bind its subport on the new host."""
    server = cloud.pick("premade_port")
    return {"port": new_subport(cloud, server, "compute-before")}


def not_marked(cloud: CloudRows) -> dict[str, Any]:
    """The owner of the port was cleared by SQL."""
    server = cloud.pick("premade_port")
    port = new_subport(cloud, server, str(server.host))
    cloud.update("neutron", "ports", {"id": port}, device_owner="", device_id="")
    return {"port": port}


def of_a_load_balancer(cloud: CloudRows) -> dict[str, Any]:
    """Something else has taken the port over, although the trunk still has it."""
    server = cloud.pick("premade_port")
    port = new_subport(cloud, server, str(server.host))
    cloud.update("neutron", "ports", {"id": port}, device_owner="Octavia", device_id=f"lb-{port}")
    return {"port": port}


def no_row(cloud: CloudRows) -> dict[str, Any]:
    """The trunk was deleted by SQL."""
    server = cloud.pick("premade_port")
    values = {"device_owner": "trunk:subport", "status": "DOWN"}
    return {"port": new_port(cloud, server, str(uuid.uuid4()), cloud.ago(OLD), str(server.host), **values)}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "not_marked": not_marked,
    "of_a_load_balancer": of_a_load_balancer,
    "no_row": no_row,
}
NOT_REPAIRED = {"of_a_load_balancer": "is also that of Octavia", "no_row": "openstack network trunk set --subport"}


def parent_moving(cloud: CloudRows) -> None:
    """The parent is live-migrated: it has bindings to two hosts."""
    server = cloud.pick("live_migrating")
    keep(cloud, server, server.ports[0], True)
    new_subport(cloud, server, str(server.host))


def parent_unbound(cloud: CloudRows) -> None:
    """The server is shelved: its port is bound to no host, and the subport still to the last one."""
    server = cloud.pick("shelved_offloaded")
    keep(cloud, server, server.ports[0], True)
    new_subport(cloud, server, "compute-before")


def just_bound(cloud: CloudRows) -> None:
    """Neutron wrote the subport a minute ago."""
    port = new_subport(cloud, cloud.pick("premade_port"), "compute-before")
    attribute(cloud, port, updated_at=cloud.ago(60))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "parent_moving": parent_moving,
    "parent_unbound": parent_unbound,
    "just_bound": just_bound,
}
