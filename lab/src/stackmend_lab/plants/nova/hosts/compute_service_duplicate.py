# SPDX-License-Identifier: Apache-2.0
"""Machines that are registered twice, or by half (catalogue C9)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._hosts import OLD, Host, mark_deleted, new_host, without_provider

#: a cell without nodes of Ironic
_PLAIN = "cell2"


def _renamed(cloud: CloudRows, age: float = OLD) -> tuple[Host, Host]:
    """Two hosts whose compute nodes name the same machine, in order of their names."""
    one, other = sorted((new_host(cloud), new_host(cloud, age=age)), key=lambda host: host.name)
    cloud.update(other.database, "compute_nodes", {"id": other.node_id}, hypervisor_hostname=one.name)
    return one, other


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The machine was renamed in nova.conf: it registered a second time."""
    one, other = _renamed(cloud)
    return {"host": other.name, "node": one.name, "code": "two-hosts"}


def second_node(cloud: CloudRows) -> dict[str, Any]:
    """The hypervisor's name changed, for example to a fully qualified one."""
    host = new_host(cloud)
    (row,) = cloud.rows(host.database, "SELECT * FROM compute_nodes WHERE id = :i", {"i": host.node_id})
    own = {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in row.items() if k != "id"}
    node = str(uuid.uuid4())
    name = f"{host.name}.example.org"
    cloud.insert(host.database, "compute_nodes", **{**own, "uuid": node, "hypervisor_hostname": name})
    number = cloud.insert("placement", "resource_providers", uuid=node, name=name, generation=1)
    cloud.update("placement", "resource_providers", {"id": number}, root_provider_id=number)
    return {"host": host.name, "node": name, "code": "two-nodes"}


def two_cells(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute was started once with the transport URL of another cell."""
    host = new_host(cloud)
    other = f"cell:{_PLAIN}"
    for table, own in (
        ("services", {"uuid": str(uuid.uuid4())}),
        ("compute_nodes", {"uuid": str(uuid.uuid4()), "hypervisor_hostname": f"{host.name}.example.org"}),
    ):
        (row,) = cloud.rows(host.database, f"SELECT * FROM {table} WHERE host = :h", {"h": host.name})
        copy = {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in row.items() if k != "id"}
        cloud.insert(other, table, **{**copy, **own})
        if table == "compute_nodes":
            number = cloud.insert(
                "placement", "resource_providers", uuid=own["uuid"], name=own["hypervisor_hostname"], generation=1
            )
            cloud.update("placement", "resource_providers", {"id": number}, root_provider_id=number)
    return {"host": host.name, "node": "", "code": "two-cells"}


def without_node(cloud: CloudRows) -> dict[str, Any]:
    """The compute node was marked deleted by SQL, with its provider; nova-compute does not run any more."""
    host = new_host(cloud, _PLAIN)
    mark_deleted(cloud, host, "compute_nodes")
    without_provider(cloud, host)
    return {"host": host.name, "node": "", "code": "no-node"}


def without_service(cloud: CloudRows) -> dict[str, Any]:
    """A release without the fix of bug 1839560 deleted the service alone."""
    host = new_host(cloud)
    mark_deleted(cloud, host, "services")
    return {"host": host.name, "node": host.name, "code": "no-service"}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "second_node": second_node,
    "two_cells": two_cells,
    "without_node": without_node,
    "without_service": without_service,
}
NOT_REPAIRED = {
    "plant": "read the file compute_id",
    "second_node": "read the file compute_id",
    "two_cells": "transport_url",
    "without_node": "openstack compute service delete",
    "without_service": "UPDATE compute_nodes SET deleted = id",
}


def just_renamed(cloud: CloudRows) -> None:
    """The machine registered under its new name ten minutes ago: the old one is still to be deleted."""
    _renamed(cloud, 600)


def new(cloud: CloudRows) -> None:
    """A new nova-compute has not written its compute node yet."""
    host = new_host(cloud, _PLAIN, 600)
    mark_deleted(cloud, host, "compute_nodes")
    without_provider(cloud, host)


def baremetal(cloud: CloudRows) -> None:
    """A service of Ironic with many nodes, and one that has none at present."""
    server = cloud.pick("ironic")
    host = new_host(cloud, server.cell)
    mark_deleted(cloud, host, "compute_nodes")
    without_provider(cloud, host)


def removed(cloud: CloudRows) -> None:
    """A host that was removed from the cloud as a whole."""
    host = new_host(cloud, mapped=False)
    mark_deleted(cloud, host, "services", "compute_nodes")
    without_provider(cloud, host)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "just_renamed": just_renamed,
    "new": new,
    "baremetal": baremetal,
    "removed": removed,
}
