# SPDX-License-Identifier: Apache-2.0
"""Allocations of servers and migrations that are gone (catalogue E1)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import new_consumer


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A server was deleted while Placement was down."""
    server = cloud.pick("deleted")
    new_consumer(cloud, server.uuid, 1)
    return {"consumer": server.uuid}


def unknown(cloud: CloudRows) -> dict[str, Any]:
    """The server was archived before its allocation was deleted; the consumer is older than consumer types."""
    consumer = str(uuid.uuid4())
    new_consumer(cloud, consumer, 2, kind=None)
    return {"consumer": consumer}


def finished_migration(cloud: CloudRows) -> dict[str, Any]:
    """A resize ended in error, and its allocation on the source remained."""
    server = cloud.pick("active")
    consumer = str(uuid.uuid4())
    cloud.insert(
        server.database, "migrations", uuid=consumer, instance_uuid=server.uuid, status="error",
        migration_type="resize",
        source_compute=server.host, dest_compute=server.host, deleted=0, created_at=cloud.ago(9000),
    )  # fmt: skip
    new_consumer(cloud, consumer, 1, kind="MIGRATION")
    return {"consumer": consumer}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "unknown": unknown,
    "finished_migration": finished_migration,
}


def foreign_type(cloud: CloudRows) -> None:
    """A consumer of another type: not Nova's."""
    new_consumer(cloud, str(uuid.uuid4()), 1, kind="LICENSE_SERVER")


def custom_classes(cloud: CloudRows) -> None:
    """A consumer with allocations of custom classes only."""
    consumer = str(uuid.uuid4())
    cloud.insert("placement", "consumers", uuid=consumer, project_id=1, user_id=1, generation=1,
                 created_at=cloud.ago(86400))  # fmt: skip
    cloud.insert("placement", "allocations", resource_provider_id=1, consumer_id=consumer, resource_class_id=5, used=1)


def resized(cloud: CloudRows) -> None:
    """A migration that awaits confirmation has allocations on the source."""
    cloud.pick("resized")


def live_migrating(cloud: CloudRows) -> None:
    """A live migration has allocations on the source."""
    cloud.pick("live_migrating")


def being_scheduled(cloud: CloudRows) -> None:
    """A server without a row in any cell yet already has its allocation."""
    new_consumer(cloud, cloud.pick("unscheduled").uuid, 1)


def young(cloud: CloudRows) -> None:
    """An allocation made half an hour ago."""
    new_consumer(cloud, str(uuid.uuid4()), 1, age=1800)


def across_cells(cloud: CloudRows) -> None:
    """A cross-cell resize: the same server in two cells, one of them hidden."""
    cloud.pick("cross_cell")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "foreign_type": foreign_type,
    "custom_classes": custom_classes,
    "resized": resized,
    "live_migrating": live_migrating,
    "being_scheduled": being_scheduled,
    "young": young,
    "across_cells": across_cells,
}
