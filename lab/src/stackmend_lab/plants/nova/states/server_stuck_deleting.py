# SPDX-License-Identifier: Apache-2.0
"""Servers whose deletion never ends (catalogue B3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import OLD, alone
from stackmend_lab.plants.nova.states._actions import acted, under_way


def plant(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute hangs: it has been detaching a volume for hours."""
    server = cloud.pick("active")
    acted(cloud, server, "delete", OLD)
    return under_way(cloud, server, "deleting", OLD)


def host_lost(cloud: CloudRows) -> dict[str, Any]:
    """The host was lost while it deleted the server."""
    server = cloud.pick("active")
    alone(cloud, server, silent=True)
    return under_way(cloud, server, "soft-deleting", 2400)


def api_died(cloud: CloudRows) -> dict[str, Any]:
    """nova-api died while it deleted a server without a host."""
    return under_way(cloud, cloud.pick("shelved_offloaded"), "deleting")


def unmarked(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute removed the guest, and was stopped before the row was marked."""
    server = cloud.pick("active")
    key = under_way(cloud, server, "deleting", 900)
    gone = {"vm_state": "deleted", "task_state": None, "power_state": 0, "terminated_at": cloud.ago(900)}
    cloud.update(server.database, "instances", {"uuid": server.uuid}, **gone)
    return key


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "host_lost": host_lost,
    "api_died": api_died,
    "unmarked": unmarked,
}
NOT_REPAIRED = {
    "plant": "which resumes it",
    "host_lost": "which Nova then does without the host",
    "api_died": "openstack server delete",
    "unmarked": "which completes it",
}


def being_deleted(cloud: CloudRows) -> None:
    """A large server is deleted: twenty minutes."""
    under_way(cloud, cloud.pick("active"), "deleting", 1200)


def retried(cloud: CloudRows) -> None:
    """The deletion was begun again a few minutes ago, when nova-compute was restarted."""
    server = cloud.pick("active")
    acted(cloud, server, "delete", OLD, ended=300)
    under_way(cloud, server, "deleting", OLD)


def completing(cloud: CloudRows) -> None:
    """The last steps of a deletion are in progress."""
    server = cloud.pick("active")
    under_way(cloud, server, "deleting", 20)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, vm_state="deleted", task_state=None)


def soft_deleted(cloud: CloudRows) -> None:
    """A soft-deleted server awaits its time."""
    cloud.pick("soft_deleted")


def deleted(cloud: CloudRows) -> None:
    """A deleted server without a host keeps its task_state."""
    cloud.pick("deleted_hostless")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "being_deleted": being_deleted,
    "retried": retried,
    "completing": completing,
    "soft_deleted": soft_deleted,
    "deleted": deleted,
}
