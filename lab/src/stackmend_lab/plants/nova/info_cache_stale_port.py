# SPDX-License-Identifier: Apache-2.0
"""Caches that list ports no longer belonging to the server (catalogue A3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import (
    OLD,
    attribute,
    busy,
    cache,
    changed,
    drop_port,
    free_port,
    give_address,
    ipam_of,
    new_nic_row,
    new_port,
    nic_rows,
    port_of,
    vifs,
    write,
)


def _gone(cloud: CloudRows, server: Server, number: int = 0) -> dict[str, Any]:
    port = server.ports[number]
    drop_port(cloud, port)
    return {"server": server.uuid, "port": port}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The port was deleted while nova-compute was down: the event was lost."""
    return _gone(cloud, cloud.pick("active"))


def one_of_three(cloud: CloudRows) -> dict[str, Any]:
    """The middle one of three NICs."""
    return _gone(cloud, cloud.pick("multi_nic"), 1)


def freed(cloud: CloudRows) -> dict[str, Any]:
    """The port was detached from the server in Neutron alone, and is unused now."""
    server = cloud.pick("premade_port")
    free_port(cloud, server.ports[0])
    return {"server": server.uuid, "port": server.ports[0]}


def given_away(cloud: CloudRows) -> dict[str, Any]:
    """The port now belongs to another server, complete and working."""
    server, other = cloud.pick("active"), cloud.pick("active")
    port = server.ports[0]
    for row in nic_rows(cloud, server):
        values = {"deleted": row["id"], "deleted_at": cloud.ago(OLD)}
        cloud.update(server.database, "virtual_interfaces", {"id": row["id"]}, **values)
    sql = "UPDATE ports SET device_id = :o, project_id = :j WHERE id = :p"
    cloud.execute("neutron", sql, {"o": other.uuid, "j": other.project_id, "p": port})
    for table in ("ml2_port_bindings", "ml2_port_binding_levels"):
        cloud.update("neutron", table, {"port_id": port}, host=other.host)
    given = [{**vif, "preserve_on_delete": True} for vif in vifs(cloud, server)]
    write(cloud, other, json.dumps([*vifs(cloud, other), *given]))
    new_nic_row(cloud, other, port, address=f"{port_of(cloud, port)['mac_address']}/{port}")
    return {"server": server.uuid, "port": port}


def stopped(cloud: CloudRows) -> dict[str, Any]:
    """The server is off: it will not start with that NIC."""
    return _gone(cloud, cloud.pick("stopped"))


def lost(cloud: CloudRows) -> dict[str, Any]:
    """Neutron's database lost the port of a running guest: it is created again."""
    return _gone(cloud, cloud.pick("active"))


def lost_of_three(cloud: CloudRows) -> dict[str, Any]:
    """One of three NICs, with a device tag recorded in Nova."""
    return _gone(cloud, cloud.pick("multi_nic"), 2)


def lost_while_off(cloud: CloudRows) -> dict[str, Any]:
    """The server is off."""
    return _gone(cloud, cloud.pick("stopped"))


def lost_while_shelved(cloud: CloudRows) -> dict[str, Any]:
    """The server has no host: its port was not bound."""
    return _gone(cloud, cloud.pick("shelved_offloaded"))


def taken(cloud: CloudRows) -> dict[str, Any]:
    """Another port has the address by now."""
    server = cloud.pick("active")
    port = server.ports[0]
    fixed = cloud.rows("neutron", "SELECT ip_address, subnet_id FROM ipallocations WHERE port_id = :p", {"p": port})[0]
    other = new_port(cloud, server, "", cloud.ago(OLD), device_owner="")
    _gone(cloud, server)
    give_address(cloud, other, fixed["ip_address"])
    return {"server": server.uuid, "port": port}


def lost_by_sql(cloud: CloudRows) -> dict[str, Any]:
    """The port of a running guest was deleted by SQL: Neutron's IPAM still has its addresses, and they stay its own."""
    server = cloud.pick("active")
    drop_port(cloud, server.ports[0], by_sql=True)
    return {"server": server.uuid, "port": server.ports[0]}


def _in_ipam(cloud: CloudRows, key: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The addresses of the port in the server's cache, which IPAM has as taken and no port has."""
    sql = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = :u"
    documents = [
        row for name in cloud.databases if name[:5] == "cell:" for row in cloud.rows(name, sql, {"u": key["server"]})
    ]
    vif = next(vif for vif in json.loads(documents[0]["network_info"]) if vif["id"] == key["port"])
    where = "SELECT id FROM subnets WHERE network_id = :n AND cidr = :c"
    found = []
    for subnet in vif["network"]["subnets"]:
        row = cloud.rows("neutron", where, {"n": vif["network"]["id"], "c": subnet["cidr"]})[0]
        ipam = ipam_of(cloud, row["id"])
        found += [("ipam-drift", {"ipam_subnet": ipam, "address": ip["address"]}) for ip in subnet["ips"]]
    return found


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "one_of_three": one_of_three,
    "freed": freed,
    "given_away": given_away,
    "stopped": stopped,
    "lost": lost,
    "lost_of_three": lost_of_three,
    "lost_while_off": lost_while_off,
    "lost_while_shelved": lost_while_shelved,
    "taken": taken,
    "lost_by_sql": lost_by_sql,
}
CHOSEN = {
    "plant": "drop-stale-vif",
    "one_of_three": "drop-stale-vif",
    "stopped": "drop-stale-vif",
    "lost": "restore-port",
    "lost_of_three": "restore-port",
    "lost_while_off": "restore-port",
    "lost_while_shelved": "restore-port",
    "taken": "restore-port",
    "lost_by_sql": "restore-port",
}
NOT_REPAIRED = {"taken": "(no device)"}
BESIDE = {"lost_by_sql": _in_ipam}


def foreign_project(cloud: CloudRows) -> None:
    """The port is in another project, but the server's: soon a finding of its own (A6), and the guest uses it."""
    port = cloud.pick("active").ports[0]
    cloud.update("neutron", "ports", {"id": port}, project_id="f" * 32)
    attribute(cloud, port, updated_at=cloud.ago(1800))


def server_busy(cloud: CloudRows) -> None:
    """A detach in progress: Neutron has finished, Nova has not."""
    server = cloud.pick("active")
    drop_port(cloud, server.ports[0])
    busy(cloud, server, "deleting")


def just_detached(cloud: CloudRows) -> None:
    """The cache was written a minute ago: it is still being updated."""
    server = cloud.pick("active")
    drop_port(cloud, server.ports[0])
    where = {"id": cache(cloud, server)["id"]}
    cloud.update(server.database, "instance_info_caches", where, updated_at=cloud.ago(60))


def just_changed(cloud: CloudRows) -> None:
    """Nova wrote the server a minute ago."""
    server = cloud.pick("active")
    drop_port(cloud, server.ports[0])
    changed(cloud, server)


def deleted_server(cloud: CloudRows) -> None:
    """A deleted server's cache keeps its last content."""
    server, other = cloud.pick("deleted"), cloud.pick("active")
    write(cloud, server, json.dumps([{**vif, "id": server.uuid} for vif in vifs(cloud, other)]))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "foreign_project": foreign_project,
    "server_busy": server_busy,
    "just_detached": just_detached,
    "just_changed": just_changed,
    "deleted_server": deleted_server,
}
