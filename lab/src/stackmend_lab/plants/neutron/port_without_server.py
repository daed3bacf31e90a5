# SPDX-License-Identifier: Apache-2.0
"""Ports whose server is gone (catalogue A7)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import new_port


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The server was deleted while Neutron was down."""
    gone = cloud.pick("deleted")
    port = new_port(cloud, cloud.pick("active"), device_id=gone.uuid, project_id=gone.project_id)
    return {"port": port}


def unknown(cloud: CloudRows) -> dict[str, Any]:
    """Nova has no record of the server; the port has a name, so it belongs to its owner."""
    return {"port": new_port(cloud, cloud.pick("active"), device_id=str(uuid.uuid4()), name="mail-gateway")}


def bound(cloud: CloudRows) -> dict[str, Any]:
    """The port is still bound to the host of the deleted server."""
    gone, other = cloud.pick("deleted"), cloud.pick("active")
    return {"port": new_port(cloud, other, host=str(other.host), device_id=gone.uuid)}


def of_the_build(cloud: CloudRows) -> dict[str, Any]:
    """Nova created the port when it built the server: it is deleted."""
    gone = cloud.pick("deleted")
    port = new_port(cloud, cloud.pick("active"), device_id=gone.uuid)
    born = cloud.rows(gone.database, "SELECT created_at FROM instances WHERE uuid = :u", {"u": gone.uuid})
    cloud.execute(
        "neutron",
        "UPDATE standardattributes SET created_at = :t WHERE id = (SELECT standard_attr_id FROM ports WHERE id = :p)",
        {"t": str(born[0]["created_at"]), "p": port},
    )
    return {"port": port}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "unknown": unknown,
    "bound": bound,
    "of_the_build": of_the_build,
}


def kuryr(cloud: CloudRows) -> None:
    """A kuryr port also has compute in its device_owner, but its device is a pod."""
    new_port(cloud, cloud.pick("active"), device_id=str(uuid.uuid4()), device_owner="compute:kuryr")


def foreign_zone(cloud: CloudRows) -> None:
    """A zone unknown to Nova: another service's port."""
    new_port(cloud, cloud.pick("active"), device_id=str(uuid.uuid4()), device_owner="compute:edge-appliances")


def unscheduled(cloud: CloudRows) -> None:
    """The server has no row in any cell yet: it is being scheduled (R3)."""
    server = cloud.pick("unscheduled")
    new_port(cloud, cloud.pick("active"), device_id=server.uuid, project_id=server.project_id)


def young(cloud: CloudRows) -> None:
    """The port was created half an hour ago."""
    new_port(cloud, cloud.pick("active"), device_id=str(uuid.uuid4()), age=1800)


def restorable(cloud: CloudRows) -> None:
    """A soft-deleted server awaiting reclaim keeps its ports."""
    cloud.pick("soft_deleted")


def dhcp(cloud: CloudRows) -> None:
    """The devices of Neutron's own ports are not servers."""
    new_port(cloud, cloud.pick("active"), device_id=str(uuid.uuid4()), device_owner="network:dhcp")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "kuryr": kuryr,
    "foreign_zone": foreign_zone,
    "unscheduled": unscheduled,
    "young": young,
    "restorable": restorable,
    "dhcp": dhcp,
}
