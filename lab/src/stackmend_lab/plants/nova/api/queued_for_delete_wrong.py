# SPDX-License-Identifier: Apache-2.0
"""Mappings that are queued for deletion while their server is not deleted, and the reverse (catalogue C3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import touch


def _queue(cloud: CloudRows, server: Server, queued: int | None) -> dict[str, Any]:
    cloud.update("nova_api", "instance_mappings", {"instance_uuid": server.uuid}, queued_for_delete=queued)
    return {"server": server.uuid}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A deletion failed after the flag was set: the server is in use as before."""
    return _queue(cloud, cloud.pick("active"), 1)


def in_error(cloud: CloudRows) -> dict[str, Any]:
    """The deletion ended in error, and left the server there."""
    return _queue(cloud, cloud.pick("error"), 1)


def in_cell0(cloud: CloudRows) -> dict[str, Any]:
    """A server that could not be scheduled, whose deletion failed."""
    return _queue(cloud, cloud.pick("cell0_error"), 1)


def soft_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The database was restored from a dump of before the server was soft-deleted."""
    return _queue(cloud, cloud.pick("soft_deleted"), 0)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "in_error": in_error,
    "in_cell0": in_cell0,
    "soft_deleted": soft_deleted,
}


def being_deleted(cloud: CloudRows) -> None:
    """The deletion is in progress: the flag is set before the server's row is marked."""
    server = cloud.pick("active")
    _queue(cloud, server, 1)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, task_state="deleting")
    touch(cloud, server, 120)


def being_restored(cloud: CloudRows) -> None:
    """A soft-deleted server is being restored: the flag is cleared first."""
    server = cloud.pick("soft_deleted")
    _queue(cloud, server, 0)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, task_state="restoring")
    touch(cloud, server, 30)


def never_said(cloud: CloudRows) -> None:
    """A mapping of a release that did not have the flag."""
    _queue(cloud, cloud.pick("active"), None)


def deleted(cloud: CloudRows) -> None:
    """A deleted server whose mapping is queued, as it should be."""
    cloud.pick("deleted")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "being_deleted": being_deleted,
    "being_restored": being_restored,
    "never_said": never_said,
    "deleted": deleted,
}
