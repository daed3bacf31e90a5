# SPDX-License-Identifier: Apache-2.0
"""Allocations and consumers that do not belong together (catalogue E8)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._hosts import new_host
from stackmend_lab.plants._servers import OLD, migrated, neighbour, new_consumer, provider


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The consumer of a server was never made: its allocation is from before Rocky."""
    server = cloud.pick("active")
    cloud.delete("placement", "consumers", {"uuid": server.uuid})
    return {"consumer": server.uuid}


def of_nobody(cloud: CloudRows) -> dict[str, Any]:
    """The same, and the server is gone."""
    name = str(uuid.uuid4())
    new_consumer(cloud, name, new_host(cloud).provider)
    cloud.delete("placement", "consumers", {"uuid": name})
    return {"consumer": name}


def empty(cloud: CloudRows) -> dict[str, Any]:
    """Allocations were deleted by SQL, and the consumer stayed."""
    name = str(uuid.uuid4())
    new_consumer(cloud, name, new_host(cloud).provider)
    cloud.delete("placement", "allocations", {"consumer_id": name})
    return {"consumer": name}


def no_provider(cloud: CloudRows) -> dict[str, Any]:
    """A provider was deleted by SQL, and an allocation on it stayed beside the server's own."""
    server = cloud.pick("stopped")
    _allocate(cloud, server.uuid)
    return {"consumer": server.uuid}


def _allocate(cloud: CloudRows, consumer: str) -> None:
    """An allocation on a provider that does not exist."""
    cloud.insert(
        "placement", "allocations", resource_provider_id=900_000, consumer_id=consumer, resource_class_id=1, used=1,
        created_at=cloud.ago(OLD), updated_at=cloud.ago(OLD),
    )  # fmt: skip


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "of_nobody": of_nobody,
    "empty": empty,
    "no_provider": no_provider,
}


def just_emptied(cloud: CloudRows) -> None:
    """A consumer whose allocations were read a moment before they were written."""
    name = str(uuid.uuid4())
    new_consumer(cloud, name, 1, age=60)
    cloud.delete("placement", "allocations", {"consumer_id": name})


def of_a_migration(cloud: CloudRows) -> None:
    """A migration in progress is a consumer without a server."""
    server = cloud.pick("active")
    node = neighbour(cloud, server)
    move = migrated(cloud, server, node, "running", str(server.host), 60)
    new_consumer(cloud, move, provider(cloud, str(node["uuid"])), kind="MIGRATION")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"just_emptied": just_emptied, "of_a_migration": of_a_migration}
