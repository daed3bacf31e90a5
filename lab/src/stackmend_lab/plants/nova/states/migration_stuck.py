# SPDX-License-Identifier: Apache-2.0
"""Migrations that never end (catalogue C6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD, alone, neighbour
from stackmend_lab.plants.nova.states._actions import acted, under_way

#: longer than any move may take
LONG = OLD + 3600


def _record(
    cloud: CloudRows, server: Server, status: str, kind: str = "migration", age: float = LONG, **values: Any
) -> dict[str, Any]:
    """A migration of the server from its host to another, unless the values name others."""
    node = neighbour(cloud, server)
    row = {
        "source_compute": server.host, "source_node": server.node, "dest_compute": node["host"],
        "dest_node": node["hypervisor_hostname"],
    } | values  # fmt: skip
    number = cloud.insert(
        server.database, "migrations", uuid=f"{server.uuid[:-4]}57cc", instance_uuid=server.uuid, status=status,
        migration_type=kind, deleted=0, created_at=cloud.ago(age + 60), updated_at=cloud.ago(age), **row,
    )  # fmt: skip
    return {"server": server.uuid, "migration": number}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute was restarted while the move was prepared: it cleared the task_state, and left the migration."""
    return _record(cloud, cloud.pick("active"), "pre-migrating")


def completed(cloud: CloudRows) -> dict[str, Any]:
    """The server runs on the destination; the source was stopped before it recorded the end."""
    server = cloud.pick("active")
    host = str(neighbour(cloud, server)["host"])
    return _record(
        cloud, server, "running", "live-migration", source_compute=host, source_node=host, dest_compute=server.host,
        dest_node=server.node,
    )  # fmt: skip


def elsewhere(cloud: CloudRows) -> dict[str, Any]:
    """The server was moved to a third host since."""
    server = cloud.pick("stopped")
    return _record(cloud, server, "accepted", source_compute="gone-1", source_node="gone-1")


def state_reset(cloud: CloudRows) -> dict[str, Any]:
    """An operator set a resized server to active: nobody can confirm the resize."""
    server = cloud.pick("resized")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, vm_state="active")
    found = cloud.rows(server.database, "SELECT id FROM migrations WHERE instance_uuid = :u", {"u": server.uuid})
    return {"server": server.uuid, "migration": found[0]["id"]}


def source_down(cloud: CloudRows) -> dict[str, Any]:
    """The source was lost while it copied the memory."""
    server = cloud.pick("active")
    host = alone(cloud, server, silent=True)
    key = _record(cloud, server, "running", "live-migration", 9000, source_compute=host, source_node=host)
    under_way(cloud, server, "migrating", 9000)
    return key


def unconfirmed(cloud: CloudRows) -> dict[str, Any]:
    """The confirmation of a resize was lost, and both hosts run."""
    server = cloud.pick("resized")
    where = {"instance_uuid": server.uuid}
    cloud.update(server.database, "migrations", where, status="confirming", updated_at=cloud.ago(5400))
    found = cloud.rows(server.database, "SELECT id FROM migrations WHERE instance_uuid = :u", {"u": server.uuid})
    return {"server": server.uuid, "migration": found[0]["id"]}


def hanging(cloud: CloudRows) -> dict[str, Any]:
    """A live migration copies nothing any more."""
    server = cloud.pick("active")
    key = _record(cloud, server, "running", "live-migration")
    under_way(cloud, server, "migrating", LONG)
    return key


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "completed": completed,
    "elsewhere": elsewhere,
    "state_reset": state_reset,
    "source_down": source_down,
    "unconfirmed": unconfirmed,
    "hanging": hanging,
}
NOT_REPAIRED = {
    "elsewhere": "find out where its disk is in use",
    "state_reset": "openstack server resize confirm",
    "source_down": "start nova-compute on",
    "unconfirmed": "where its disk is in use",
    "hanging": "openstack server migration abort",
}


def resized(cloud: CloudRows) -> None:
    """A resize awaits its confirmation."""
    cloud.pick("resized")


def live_migrating(cloud: CloudRows) -> None:
    """A live migration."""
    cloud.pick("live_migrating")


def large(cloud: CloudRows) -> None:
    """The disk of a large server is copied for five hours."""
    server = cloud.pick("active")
    _record(cloud, server, "migrating", age=5 * 3600)
    under_way(cloud, server, "resize_migrating", 5 * 3600)


def queued(cloud: CloudRows) -> None:
    """A host is drained: the migration waits for those before it."""
    server = cloud.pick("active")
    _record(cloud, server, "queued", "live-migration")
    under_way(cloud, server, "migrating", LONG)


def beginning(cloud: CloudRows) -> None:
    """The scheduler is busy: half an hour."""
    server = cloud.pick("active")
    _record(cloud, server, "accepted", age=1800)
    under_way(cloud, server, "resize_prep", 1800)


def cut_off_now(cloud: CloudRows) -> None:
    """An old migration of a server on which somebody works."""
    server = cloud.pick("active")
    _record(cloud, server, "pre-migrating")
    acted(cloud, server, "reboot", 90)


def evacuated(cloud: CloudRows) -> None:
    """An evacuation is over, and its source is not up again."""
    cloud.pick("evacuated")


def across_cells(cloud: CloudRows) -> None:
    """A resize to another cell awaits its confirmation; its other half is hidden."""
    cloud.pick("cross_cell")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "resized": resized,
    "live_migrating": live_migrating,
    "large": large,
    "queued": queued,
    "beginning": beginning,
    "cut_off_now": cut_off_now,
    "evacuated": evacuated,
    "across_cells": across_cells,
}
