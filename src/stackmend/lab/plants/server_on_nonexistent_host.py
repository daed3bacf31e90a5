# SPDX-License-Identifier: Apache-2.0
"""Servers on hosts that Nova does not have (catalogue B9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend.lab.cloud import Cloud
from stackmend.lab.plants._servers import touch


def plant(cloud: Cloud) -> dict[str, Any]:
    """SQL moved the server's node to a name that is none."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, node="c01.example.com", compute_id=99)
    return {"server": server.uuid}


def service_deleted(cloud: Cloud) -> dict[str, Any]:
    """The compute service was deleted although a server was on it."""
    return _alone(cloud, "services")


def node_deleted(cloud: Cloud) -> dict[str, Any]:
    """The compute node was deleted although a server was on it."""
    return _alone(cloud, "compute_nodes")


def _alone(cloud: Cloud, table: str) -> dict[str, Any]:
    """Put a server alone on a host of its own, whose record in that table is marked deleted."""
    server = cloud.pick("stopped")
    host = f"lonely-{server.uuid[:4]}"
    sql = "SELECT * FROM {} WHERE host = :h AND deleted = 0"
    for name in ("services", "compute_nodes"):
        row = cloud.rows(server.database, sql.format(name), {"h": server.host})[0]
        own = {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in row.items() if k != "id"}
        own |= {"host": host, "uuid": f"{server.uuid[:-4]}{'5e12' if name == 'services' else 'c0de'}"}
        if name == "compute_nodes":
            own["hypervisor_hostname"] = host
        number = cloud.insert(server.database, name, **own)
        if name == table:
            cloud.update(server.database, name, {"id": number}, deleted=number, deleted_at=cloud.ago(7200))
    cloud.update(server.database, "instances", {"uuid": server.uuid}, host=host, node=host)
    for port in server.ports:
        cloud.execute("neutron", "UPDATE ml2_port_bindings SET host = :h WHERE port_id = :p", {"h": host, "p": port})
    _charge(cloud, server.uuid, f"{server.uuid[:-4]}c0de", host)
    return {"server": server.uuid}


def _charge(cloud: Cloud, consumer: str, node: str, host: str) -> None:
    number = cloud.insert("placement", "resource_providers", uuid=node, name=host, generation=1)
    cloud.update("placement", "resource_providers", {"id": number}, root_provider_id=number)
    cloud.update("placement", "allocations", {"consumer_id": consumer}, resource_provider_id=number)


def gone_for_good(cloud: Cloud) -> dict[str, Any]:
    """The host was renamed and nothing of it is left: there is nothing to bring back."""
    server = cloud.pick("stopped")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, host="old-name", node="old-name")
    return {"server": server.uuid}


VARIANTS: dict[str, Callable[[Cloud], dict[str, Any]]] = {
    "service_deleted": service_deleted,
    "node_deleted": node_deleted,
    "gone_for_good": gone_for_good,
}
NOT_REPAIRED = {"gone_for_good": "evacuate or relocate"}


def offloaded(cloud: Cloud) -> None:
    """An offloaded server has no host."""
    cloud.pick("shelved_offloaded")


def never_scheduled(cloud: Cloud) -> None:
    """A server that no host was found for."""
    cloud.pick("cell0_error")


def baremetal(cloud: Cloud) -> None:
    """One service host, many nodes."""
    cloud.pick("ironic")


def just_changed(cloud: Cloud) -> None:
    """The server was changed a minute ago."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, node="c99")
    touch(cloud, server, 60)


LOOK_ALIKES: dict[str, Callable[[Cloud], None]] = {
    "offloaded": offloaded,
    "never_scheduled": never_scheduled,
    "baremetal": baremetal,
    "just_changed": just_changed,
}
