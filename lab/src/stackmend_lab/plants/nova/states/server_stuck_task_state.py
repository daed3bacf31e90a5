# SPDX-License-Identifier: Apache-2.0
"""Servers whose task_state is never cleared (catalogue B7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD, alone, migrated, neighbour
from stackmend_lab.plants.nova.states._actions import acted, under_way


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The host was lost while the server was being powered off."""
    server = cloud.pick("active")
    alone(cloud, server, silent=True)
    acted(cloud, server, "stop", OLD)
    return under_way(cloud, server, "powering-off", OLD)


def pausing(cloud: CloudRows) -> dict[str, Any]:
    """The same with an operation that is over in seconds: half an hour is too long."""
    server = cloud.pick("active")
    alone(cloud, server, silent=True)
    return under_way(cloud, server, "pausing", 1800)


def rebuilding(cloud: CloudRows) -> dict[str, Any]:
    """The host was lost during a rebuild: only nova-compute knows how far it came."""
    server = cloud.pick("stopped")
    alone(cloud, server, silent=True)
    return under_way(cloud, server, "rebuild_spawning")


def lost_message(cloud: CloudRows) -> dict[str, Any]:
    """The message to nova-compute, which runs, was lost."""
    server = cloud.pick("active")
    acted(cloud, server, "reboot", 1200, ended=1190)
    return under_way(cloud, server, "rebooting_hard", 1200)


def uploading(cloud: CloudRows) -> dict[str, Any]:
    """A snapshot has been uploaded for most of a day."""
    return under_way(cloud, cloud.pick("active"), "image_uploading")


def in_error(cloud: CloudRows) -> dict[str, Any]:
    """A build timed out: Nova sets ERROR and leaves the task_state."""
    server = cloud.pick("error")
    return under_way(cloud, server, "spawning")


def unshelving(cloud: CloudRows) -> dict[str, Any]:
    """The conductor died before the server had a host."""
    return under_way(cloud, cloud.pick("shelved_offloaded"), "unshelving")


def image_lost(cloud: CloudRows) -> dict[str, Any]:
    """Its image was missing when it was unshelved: Nova sets ERROR and leaves the task_state."""
    return under_way(cloud, cloud.pick("shelved_offloaded"), "unshelving", vm_state="error")


def building(cloud: CloudRows) -> dict[str, Any]:
    """A build was cut off."""
    server = cloud.pick("building")
    events = "UPDATE instance_actions_events SET start_time = :t, finish_time = :t WHERE action_id IN"
    events += " (SELECT id FROM instance_actions WHERE instance_uuid = :u)"
    cloud.execute(server.database, events, {"t": cloud.ago(9000), "u": server.uuid})
    cloud.update(server.database, "instance_actions", {"instance_uuid": server.uuid}, start_time=cloud.ago(9000))
    return under_way(cloud, server, "spawning", 8000)


def resizing(cloud: CloudRows) -> dict[str, Any]:
    """A resize was cut off while its disk was copied."""
    return under_way(cloud, cloud.pick("active"), "resize_migrating")


def evacuating(cloud: CloudRows) -> dict[str, Any]:
    """The conductor died before an evacuation had a destination, and the source came back."""
    server = cloud.pick("active")
    nowhere = {"host": None, "hypervisor_hostname": None}
    migrated(cloud, server, nowhere, "accepted", str(server.host), OLD, "evacuation")
    return under_way(cloud, server, "rebuilding")


def _record(cloud: CloudRows, key: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    sql = "SELECT id FROM migrations WHERE instance_uuid = :s AND migration_type = 'evacuation' AND status = 'accepted'"
    cells = [name for name in cloud.databases if name.startswith("cell:")]
    records = [row["id"] for cell in cells for row in cloud.rows(cell, sql, {"s": key["server"]})]
    return [("evacuation-record-time-bomb", {"server": key["server"], "record": record}) for record in records]


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "pausing": pausing,
    "rebuilding": rebuilding,
    "lost_message": lost_message,
    "uploading": uploading,
    "in_error": in_error,
    "unshelving": unshelving,
    "image_lost": image_lost,
    "building": building,
    "resizing": resizing,
    "evacuating": evacuating,
}
MENDED_BY = {"unshelving": "clear-task-state"}
NOT_REPAIRED = {
    "rebuilding": "start nova-compute on",
    "lost_message": "restart nova-compute on",
    "uploading": "restart nova-compute on",
    "in_error": "openstack server set --state error",
    "building": "openstack server delete",
    "resizing": "stackmend server where",
    "evacuating": "stackmend server where",
}
BESIDE = {"evacuating": _record}


def rebooting(cloud: CloudRows) -> None:
    """A reboot of a minute ago."""
    cloud.pick("rebooting")


def slow(cloud: CloudRows) -> None:
    """A large snapshot takes five hours."""
    under_way(cloud, cloud.pick("active"), "image_uploading", 5 * 3600)


def deploying(cloud: CloudRows) -> None:
    """A bare metal node is being rebuilt for an hour."""
    under_way(cloud, cloud.pick("ironic"), "rebuild_spawning", 3600)


def asked_again(cloud: CloudRows) -> None:
    """The row is old, but the last event of the operation ended five minutes ago."""
    server = cloud.pick("active")
    acted(cloud, server, "reboot", 1200, ended=300)
    under_way(cloud, server, "rebooting_hard", 1200)


def copying(cloud: CloudRows) -> None:
    """A live migration of a day reports what remains to be copied."""
    server = cloud.pick("active")
    _move(cloud, server, "running", 30)


def queued(cloud: CloudRows) -> None:
    """A host is drained: a live migration waits for those before it."""
    _move(cloud, cloud.pick("active"), "queued", OLD + 600)


def _move(cloud: CloudRows, server: Server, status: str, age: float) -> None:
    migrated(cloud, server, neighbour(cloud, server), status, str(server.host), age)
    under_way(cloud, server, "migrating")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "rebooting": rebooting,
    "slow": slow,
    "deploying": deploying,
    "asked_again": asked_again,
    "copying": copying,
    "queued": queued,
}
