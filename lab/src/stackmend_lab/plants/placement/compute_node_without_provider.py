# SPDX-License-Identifier: Apache-2.0
"""Compute nodes without a resource provider (catalogue E6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._hosts import Host, mark_deleted, new_host, without_provider


def _lost(cloud: CloudRows, host: Host) -> dict[str, Any]:
    without_provider(cloud, host)
    return {"node": host.node, "cell": host.cell}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Somebody deleted the provider of an empty host."""
    return _lost(cloud, new_host(cloud))


def in_the_other_cell(cloud: CloudRows) -> dict[str, Any]:
    """The same in another cell."""
    return _lost(cloud, new_host(cloud, "cell2"))


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"in_the_other_cell": in_the_other_cell}
NOT_REPAIRED = dict.fromkeys(("plant", "in_the_other_cell"), "restart nova-compute on host")


def just_installed(cloud: CloudRows) -> None:
    """A host of a minute ago, whose provider follows."""
    without_provider(cloud, new_host(cloud, age=60))


def disabled(cloud: CloudRows) -> None:
    """A disabled host that is being taken out of the cloud."""
    host = new_host(cloud)
    without_provider(cloud, host)
    cloud.update(host.database, "services", {"host": host.name}, disabled=1)


def gone(cloud: CloudRows) -> None:
    """A host that was removed as it should be."""
    host = new_host(cloud)
    mark_deleted(cloud, host, "services", "compute_nodes")
    cloud.delete("nova_api", "host_mappings", {"host": host.name})
    without_provider(cloud, host)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "just_installed": just_installed,
    "disabled": disabled,
    "gone": gone,
}
