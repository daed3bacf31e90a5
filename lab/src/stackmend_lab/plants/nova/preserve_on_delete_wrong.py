# SPDX-License-Identifier: Apache-2.0
"""Ports created by an owner that would be deleted with their server (catalogue A5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import cache, write_cache


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Healing an empty cache set every flag to false."""
    server = cloud.pick("premade_port")
    write_cache(cloud, server, [{**vif, "preserve_on_delete": False} for vif in cache(cloud, server)])
    return {"server": server.uuid, "port": server.ports[0]}


def described(cloud: CloudRows) -> dict[str, Any]:
    """The port was created with the server's network, but its owner has given it a description since."""
    server = cloud.pick("active")
    cloud.execute(
        "neutron",
        "UPDATE standardattributes SET description = 'address of the web shop'"
        " WHERE id = (SELECT standard_attr_id FROM ports WHERE id = :p)",
        {"p": server.ports[0]},
    )
    return {"server": server.uuid, "port": server.ports[0]}


def tagged(cloud: CloudRows) -> dict[str, Any]:
    """The port has a tag; the server has other ports that are Nova's own."""
    server = cloud.pick("multi_nic")
    sql = "SELECT standard_attr_id FROM ports WHERE id = :p"
    attribute = cloud.rows("neutron", sql, {"p": server.ports[0]})[0]["standard_attr_id"]
    cloud.insert("neutron", "tags", standard_attr_id=attribute, tag="keep")
    return {"server": server.uuid, "port": server.ports[0]}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"described": described, "tagged": tagged}


def kept(cloud: CloudRows) -> None:
    """A pre-made port that is marked to be kept."""
    cloud.pick("premade_port")


def made_by_nova(cloud: CloudRows) -> None:
    """A port created by Nova during the build."""
    cloud.pick("active")


def attached_by_network(cloud: CloudRows) -> None:
    """A NIC added later by network: younger than the server, as old as its row."""
    server = cloud.pick("active")
    cloud.execute(
        "neutron",
        "UPDATE standardattributes SET created_at = :t WHERE id = (SELECT standard_attr_id FROM ports WHERE id = :p)",
        {"t": cloud.ago(86400), "p": server.ports[0]},
    )
    cloud.update(server.database, "virtual_interfaces", {"uuid": server.ports[0]}, created_at=cloud.ago(86395))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "kept": kept,
    "made_by_nova": made_by_nova,
    "attached_by_network": attached_by_network,
}
