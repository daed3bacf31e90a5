# SPDX-License-Identifier: Apache-2.0
"""Bindings of ports whose levels do not fit (catalogue A15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import OLD, attribute, new_port, other_host, port_of

_LEVELS = "ml2_port_binding_levels"


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The levels of a server's port were deleted by SQL."""
    server = _plain(cloud)
    cloud.delete("neutron", _LEVELS, {"port_id": server.ports[0]})
    return _key(server)


def orphan(cloud: CloudRows) -> dict[str, Any]:
    """A binding was deleted by SQL, but its level was not."""
    server = cloud.pick("active")
    host = other_host(cloud, server)
    sql = "SELECT segment_id FROM ml2_port_binding_levels WHERE port_id = :p"
    level = {"level": 0, "driver": "openvswitch", **cloud.rows("neutron", sql, {"p": server.ports[0]})[0]}
    cloud.insert("neutron", _LEVELS, port_id=server.ports[0], host=host, **level)
    return {"port": server.ports[0], "host": host}


def no_segment(cloud: CloudRows) -> dict[str, Any]:
    """The segment was deleted and created again: the level names none."""
    server = cloud.pick("active")
    cloud.update("neutron", _LEVELS, {"port_id": server.ports[0]}, segment_id=None)
    return _key(server)


def foreign_segment(cloud: CloudRows) -> dict[str, Any]:
    """One of several levels names a segment of another network: only Neutron can bind the port again."""
    server = _plain(cloud)
    sql = "SELECT id FROM networksegments WHERE network_id <> :n ORDER BY id"
    other = cloud.rows("neutron", sql, {"n": port_of(cloud, server.ports[0])["network_id"]})[0]["id"]
    cloud.insert(
        "neutron", _LEVELS, port_id=server.ports[0], host=server.host, level=1, driver="openvswitch", segment_id=other
    )
    return _key(server)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "orphan": orphan,
    "no_segment": no_segment,
    "foreign_segment": foreign_segment,
}
NOT_REPAIRED = {"foreign_segment": "openstack port set --host"}


def _plain(cloud: CloudRows) -> Server:
    """A server on a host where each port has one level: what another case left there would make it doubtful."""
    sql = (
        "SELECT b.port_id FROM ml2_port_bindings b LEFT JOIN ml2_port_binding_levels l"
        " ON l.port_id = b.port_id AND l.host = b.host"
        " WHERE b.host = :h AND b.vif_type = 'ovs' AND COALESCE(l.level, 1) <> 0"
    )
    while cloud.rows("neutron", sql, {"h": (server := cloud.pick("active")).host}):
        continue
    return server


def _key(server: Server) -> dict[str, Any]:
    return {"port": server.ports[0], "host": server.host}


def unbound(cloud: CloudRows) -> None:
    """A free port is not bound anywhere, and has no levels."""
    new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="")


def being_bound(cloud: CloudRows) -> None:
    """A port whose binding began a minute ago."""
    port = cloud.pick("active").ports[0]
    cloud.delete("neutron", _LEVELS, {"port_id": port})
    attribute(cloud, port, updated_at=cloud.ago(60))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"unbound": unbound, "being_bound": being_bound}
