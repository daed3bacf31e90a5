# SPDX-License-Identifier: Apache-2.0
"""Members of host aggregates that are no compute hosts (catalogue C11)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._hosts import mark_deleted, new_host, without_provider


def _aggregate(cloud: CloudRows, *hosts: str) -> int:
    """A host aggregate with these members; returns its number."""
    name = str(uuid.uuid4())
    number = int(cloud.insert("nova_api", "aggregates", uuid=name, name=f"rack-{name}", created_at=cloud.ago(86400)))
    for host in hosts:
        cloud.insert("nova_api", "aggregate_hosts", host=host, aggregate_id=number, created_at=cloud.ago(86400))
    return number


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The compute service was deleted by SQL, and only its mapping with it."""
    host = new_host(cloud)
    mark_deleted(cloud, host, "services", "compute_nodes")
    cloud.delete("nova_api", "host_mappings", {"host": host.name})
    without_provider(cloud, host)
    return {"host": host.name, "aggregate_id": _aggregate(cloud, host.name)}


def renamed(cloud: CloudRows) -> dict[str, Any]:
    """The host was renamed: the aggregate has the new name beside the old one."""
    host = new_host(cloud, "cell2")
    old = f"old-{host.name}"
    return {"host": old, "aggregate_id": _aggregate(cloud, host.name, old)}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"renamed": renamed}


def members(cloud: CloudRows) -> None:
    """An aggregate with hosts of two cells, one of them disabled."""
    hosts = [new_host(cloud), new_host(cloud, "cell2")]
    cloud.update(hosts[1].database, "services", {"host": hosts[1].name}, disabled=1)
    _aggregate(cloud, *(host.name for host in hosts))


def empty(cloud: CloudRows) -> None:
    """An aggregate without hosts."""
    _aggregate(cloud)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"members": members, "empty": empty}
