# SPDX-License-Identifier: Apache-2.0
"""Compute hosts that nova_api does not map to their cell (catalogue C10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._hosts import map_host, mark_deleted, new_host, without_provider


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Nobody ran discover_hosts for a new host."""
    return {"host": new_host(cloud, mapped=False).name}


def mapping_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The mapping was deleted, and the compute node still says that it is mapped (bug 2085135)."""
    host = new_host(cloud)
    cloud.delete("nova_api", "host_mappings", {"host": host.name})
    return {"host": host.name}


def other_cell(cloud: CloudRows) -> dict[str, Any]:
    """The host was moved to another cell by its configuration, and its old mapping stayed."""
    host = new_host(cloud, "cell2", mapped=False)
    cloud.update(host.database, "compute_nodes", {"host": host.name}, mapped=1)
    map_host(cloud, host.name, "cell1")
    return {"host": host.name}


def no_host(cloud: CloudRows) -> dict[str, Any]:
    """The compute service was deleted by a release that left the mapping (bug 1756179)."""
    host = new_host(cloud)
    mark_deleted(cloud, host, "services", "compute_nodes")
    without_provider(cloud, host)
    return {"host": host.name}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "mapping_deleted": mapping_deleted,
    "other_cell": other_cell,
    "no_host": no_host,
}


def disabled(cloud: CloudRows) -> None:
    """A host that is disabled for maintenance."""
    host = new_host(cloud)
    cloud.update(host.database, "services", {"host": host.name}, disabled=1, disabled_reason="maintenance")


def just_installed(cloud: CloudRows) -> None:
    """A host of ten minutes ago, which waits for the next discovery."""
    new_host(cloud, age=600, mapped=False)


def controller(cloud: CloudRows) -> None:
    """A host of conductors has no mapping."""
    host = new_host(cloud)
    row = cloud.rows(host.database, "SELECT * FROM services WHERE host = :h", {"h": host.name})[0]
    own = {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in row.items() if k != "id"}
    own |= {"host": f"control-{host.node}", "binary": "nova-conductor", "topic": "conductor", "uuid": host.node}
    cloud.insert(host.database, "services", **own)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "disabled": disabled,
    "just_installed": just_installed,
    "controller": controller,
}
