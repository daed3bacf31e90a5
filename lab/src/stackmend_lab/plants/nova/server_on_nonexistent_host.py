# SPDX-License-Identifier: Apache-2.0
"""Servers on hosts that Nova does not have (catalogue B9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import alone, neighbour, touch


def plant(cloud: CloudRows) -> dict[str, Any]:
    """SQL set the server's node to a name that does not exist."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, node="c01.example.com", compute_id=99)
    return {"server": server.uuid}


def service_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The compute service was deleted although a server was on it."""
    return _lost(cloud, "services")


def node_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The compute node was deleted although a server was on it."""
    return _lost(cloud, "compute_nodes")


def _lost(cloud: CloudRows, table: str) -> dict[str, Any]:
    """Move a server alone to a new host, and mark that host's record in the table deleted."""
    server = cloud.pick("stopped")
    _mark(cloud, server, table, "host", alone(cloud, server))
    return {"server": server.uuid}


def _mark(cloud: CloudRows, server: Server, table: str, column: str, value: str) -> None:
    number = cloud.rows(server.database, f"SELECT id FROM {table} WHERE {column} = :v", {"v": value})[0]["id"]
    cloud.update(server.database, table, {"id": number}, deleted=number, deleted_at=cloud.ago(7200))


def mistyped(cloud: CloudRows) -> dict[str, Any]:
    """SQL set host and node to a name that does not exist: every other record has the right one."""
    server = cloud.pick("stopped")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, host="old-name", node="old-name")
    return {"server": server.uuid}


def host_alone(cloud: CloudRows) -> dict[str, Any]:
    """SQL set the host of the wrong server to another living one, and nothing else."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, host=neighbour(cloud, server)["host"])
    return {"server": server.uuid}


def away_from_a_dead_host(cloud: CloudRows) -> dict[str, Any]:
    """The host is dead, and SQL set the host of its server to another one, to start it there."""
    server = cloud.pick("active")
    node = neighbour(cloud, server)
    alone(cloud, server, silent=True)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, host=node["host"])
    return {"server": server.uuid}


def gone_for_good(cloud: CloudRows) -> dict[str, Any]:
    """The host was renamed and nothing of it is left: there is nothing to restore."""
    server = cloud.pick("stopped")
    host = alone(cloud, server)
    for table in ("services", "compute_nodes"):
        cloud.delete(server.database, table, {"host": host})
    return {"server": server.uuid}


def machine_purged(cloud: CloudRows) -> dict[str, Any]:
    """Baremetal: the record of the server's machine was purged; all others of that service belong to other servers."""
    server = cloud.pick("ironic")
    cloud.delete(server.database, "compute_nodes", {"hypervisor_hostname": server.node})
    return {"server": server.uuid}


def machine_deleted(cloud: CloudRows) -> dict[str, Any]:
    """Baremetal: the record of the server's machine is marked deleted, beside living ones of the same service."""
    server = cloud.pick("ironic")
    _mark(cloud, server, "compute_nodes", "hypervisor_hostname", str(server.node))
    return {"server": server.uuid}


def without_host(cloud: CloudRows) -> dict[str, Any]:
    """A running server has neither host nor node."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, host=None, node=None)
    return {"server": server.uuid}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "service_deleted": service_deleted,
    "node_deleted": node_deleted,
    "mistyped": mistyped,
    "host_alone": host_alone,
    "away_from_a_dead_host": away_from_a_dead_host,
    "gone_for_good": gone_for_good,
    "machine_purged": machine_purged,
    "machine_deleted": machine_deleted,
    "without_host": without_host,
}
NOT_REPAIRED = {
    "away_from_a_dead_host": "whether the host was set on purpose",
    "gone_for_good": "evacuate or relocate",
    "machine_purged": "is the machine of server",
}


def offloaded(cloud: CloudRows) -> None:
    """An offloaded server has no host."""
    cloud.pick("shelved_offloaded")


def never_scheduled(cloud: CloudRows) -> None:
    """A server that could not be scheduled."""
    cloud.pick("cell0_error")


def baremetal(cloud: CloudRows) -> None:
    """One service host, many nodes."""
    cloud.pick("ironic")


def just_changed(cloud: CloudRows) -> None:
    """The server was changed a minute ago."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, node="c99")
    touch(cloud, server, 60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "offloaded": offloaded,
    "never_scheduled": never_scheduled,
    "baremetal": baremetal,
    "just_changed": just_changed,
}
