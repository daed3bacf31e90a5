# SPDX-License-Identifier: Apache-2.0
"""Ports of floating IPs that do not exist (catalogue I2)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._floating import floating_ip, public_port
from stackmend_lab.plants._networks import drifted


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A floating IP was deleted by SQL: the port that holds its address is left."""
    return {"port": public_port(cloud, str(uuid.uuid4()))[0]}


def pending(cloud: CloudRows) -> dict[str, Any]:
    """neutron-server died after it created the port, before it created the floating IP."""
    return {"port": public_port(cloud, "PENDING")[0]}


def still_listed(cloud: CloudRows) -> dict[str, Any]:
    """A floating IP was deleted by SQL, and the server that it led to still lists it: its router may, too."""
    sql = "SELECT id, floating_port_id, standard_attr_id FROM floatingips WHERE fixed_port_id = :p"
    while not (rows := cloud.rows("neutron", sql, {"p": cloud.pick("active").ports[0]})):
        continue
    cloud.delete("neutron", "floatingips", {"id": rows[0]["id"]})
    cloud.delete("neutron", "standardattributes", {"id": rows[0]["standard_attr_id"]})
    return {"port": rows[0]["floating_port_id"]}


def _still_listed(cloud: CloudRows, key: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    sql = "SELECT ip_address, network_id FROM ipallocations WHERE port_id = :p"
    held = cloud.rows("neutron", sql, {"p": key["port"]})[0]
    return drifted(cloud, held["ip_address"], held["network_id"])


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"pending": pending, "still_listed": still_listed}
NOT_REPAIRED = {"still_listed": "--floating-ip-address"}
BESIDE = {"still_listed": _still_listed}


def being_created(cloud: CloudRows) -> None:
    """A floating IP is being created: its port already exists."""
    public_port(cloud, "PENDING", age=60)


def unassociated(cloud: CloudRows) -> None:
    """A floating IP that its project keeps for later."""
    floating_ip(cloud)


def never_named(cloud: CloudRows) -> None:
    """The floating IP exists, but its port still has the placeholder: Neutron itself corrects that."""
    row = floating_ip(cloud)
    cloud.update("neutron", "ports", {"id": row["floating_port_id"]}, device_id="PENDING")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "being_created": being_created,
    "unassociated": unassociated,
    "never_named": never_named,
}
