# SPDX-License-Identifier: Apache-2.0
"""Leftover ports of failed builds (catalogue A8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import port_of
from stackmend_lab.plants._servers import bind, cache, neighbour, new_port, touch, write_cache


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A build failed on another host after its port was created; nothing shows who created it, so it is freed."""
    server = cloud.pick("active")
    port = new_port(cloud, server, host=str(neighbour(cloud, server)["host"]))
    return {"server": server.uuid, "port": port}


def of_the_build(cloud: CloudRows) -> dict[str, Any]:
    """The port was created by Nova between the server's creation and its launch: it is deleted."""
    server = cloud.pick("active")
    port = _of_build(cloud, server)
    return {"server": server.uuid, "port": port}


def _of_build(cloud: CloudRows, server: Server) -> str:
    port = new_port(cloud, server, host=str(neighbour(cloud, server)["host"]))
    born = cloud.rows(server.database, "SELECT created_at FROM instances WHERE uuid = :u", {"u": server.uuid})
    cloud.execute(
        "neutron",
        "UPDATE standardattributes SET created_at = :t WHERE id = (SELECT standard_attr_id FROM ports WHERE id = :p)",
        {"t": str(born[0]["created_at"]), "p": port},
    )
    return port


def adopted(cloud: CloudRows) -> dict[str, Any]:
    """Nova's healer added the leftover to the cache and bound it to the server's host: no guest has it."""
    server = cloud.pick("active")
    return {"server": server.uuid, "port": _adopted(cloud, server, str(server.host))}


def adopted_elsewhere(cloud: CloudRows) -> dict[str, Any]:
    """As the healer of old releases leaves it: in the cache, still bound to the failed host; the server is off."""
    server = cloud.pick("stopped")
    return {"server": server.uuid, "port": _adopted(cloud, server, str(neighbour(cloud, server)["host"]))}


def _adopted(cloud: CloudRows, server: Server, host: str) -> str:
    port = _of_build(cloud, server)
    bind(cloud, port, host)
    vif = {**cache(cloud, server)[0], "id": port, "active": False, "preserve_on_delete": False}
    vif |= {"address": port_of(cloud, port)["mac_address"], "devname": f"tap{port}"[:14], "ovs_interfaceid": port}
    write_cache(cloud, server, [*cache(cloud, server), vif])
    return port


def never_up(cloud: CloudRows) -> dict[str, Any]:
    """Neutron still waits for the host that never plugged it, and somebody has tagged it: the repair keeps neither."""
    server = cloud.pick("active")
    port = _of_build(cloud, server)
    marked = port_of(cloud, port)["standard_attr_id"]
    cloud.insert("neutron", "provisioningblocks", standard_attr_id=marked, entity="L2")
    cloud.insert("neutron", "tags", standard_attr_id=marked, tag="leftover")
    return {"server": server.uuid, "port": port}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "of_the_build": of_the_build,
    "never_up": never_up,
    "adopted": adopted,
    "adopted_elsewhere": adopted_elsewhere,
}
NOT_REPAIRED = {"adopted": "only the guest shows", "adopted_elsewhere": "only the guest shows"}


def several_nics(cloud: CloudRows) -> None:
    """A server with several NICs on one network."""
    cloud.pick("multi_nic")


def stopped(cloud: CloudRows) -> None:
    """The ports of a stopped server may be DOWN."""
    server = cloud.pick("stopped")
    cloud.update("neutron", "ports", {"id": server.ports[0]}, status="DOWN")


def trunk(cloud: CloudRows) -> None:
    """A subport of a trunk belongs to the trunk, not to the server."""
    cloud.pick("trunk")


def being_attached(cloud: CloudRows) -> None:
    """A port is being attached: Neutron already has it."""
    server = cloud.pick("active")
    new_port(cloud, server)
    touch(cloud, server, 60)


def set_down(cloud: CloudRows) -> None:
    """Its owner has set all ports of a running server down: Nova has a row for each."""
    server = cloud.pick("multi_nic")
    for port in server.ports:
        cloud.update("neutron", "ports", {"id": port}, status="DOWN", admin_state_up=0)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "several_nics": several_nics,
    "stopped": stopped,
    "trunk": trunk,
    "being_attached": being_attached,
    "set_down": set_down,
}
