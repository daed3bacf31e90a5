# SPDX-License-Identifier: Apache-2.0
"""Servers whose ports and allocation are on another host than Nova's (catalogue B8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._hosts import new_host
from stackmend_lab.plants._servers import (
    OLD,
    alone,
    bind,
    hardly_told,
    migrated,
    neighbour,
    new_consumer,
    provider,
    touch,
)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A live migration failed after the guest had moved."""
    server = cloud.pick("active")
    node = _moved(cloud, server)
    migrated(cloud, server, node, "error", str(server.host))
    return {"server": server.uuid}


def _moved(cloud: CloudRows, server: Server) -> dict[str, Any]:
    """Make every record except Nova's own row name another host."""
    node = neighbour(cloud, server)
    for port in server.ports:
        bind(cloud, port, str(node["host"]))
    there = provider(cloud, str(node["uuid"]))
    cloud.update("placement", "allocations", {"consumer_id": server.uuid}, resource_provider_id=there)
    held = {"instance_uuid": server.uuid, "deleted": 0}
    cloud.update("cinder", "volume_attachment", held, attached_host=node["host"])
    return node


def by_hand(cloud: CloudRows) -> dict[str, Any]:
    """SQL set host and node to a live host by mistake; the record of an old resize is left.

    Where the row has no ``compute_id``, this is the whole row: ``all_three_columns``.
    """
    cloud.require("cell:cell1", "instances", "compute_id")
    server = cloud.pick("multi_nic")
    node = neighbour(cloud, server)
    cloud.update(
        server.database, "instances", {"uuid": server.uuid}, host=node["host"], node=node["hypervisor_hostname"]
    )
    cloud.insert(
        server.database, "instance_system_metadata", instance_uuid=server.uuid, key="old_vm_state", value="active",
        deleted=0, created_at=cloud.ago(8000),
    )  # fmt: skip
    return {"server": server.uuid}


def end_lost(cloud: CloudRows) -> dict[str, Any]:
    """A live migration was completed hours ago, but the server is still migrating on its source.

    As described in issue 1440 of bigstack-oss/cubecos, where drains waited for such servers for ever.
    """
    server = cloud.pick("active")
    node = _moved(cloud, server)
    migrated(cloud, server, node, "completed", str(server.host))
    cloud.update(server.database, "instances", {"uuid": server.uuid}, task_state="migrating", progress=97)
    touch(cloud, server, OLD)
    return {"server": server.uuid}


def source_died(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute of the source died before it recorded the end: the migration runs for ever."""
    server = cloud.pick("active")
    source = alone(cloud, server, silent=True)
    held = provider(cloud, f"{server.uuid[:-4]}c0de")
    node = _moved(cloud, server)
    move = migrated(cloud, server, node, "running", source)
    new_consumer(cloud, move, held, kind="MIGRATION")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, task_state="migrating", progress=97)
    touch(cloud, server, OLD)
    for port in server.ports:
        cloud.insert(
            "neutron", "ml2_port_bindings", port_id=port, host=source, vif_type="ovs", vnic_type="normal",
            profile='{"migrating_to": "x"}', vif_details="{}", status="INACTIVE",
        )  # fmt: skip
    return {"server": server.uuid}


def all_three_columns(cloud: CloudRows) -> dict[str, Any]:
    """SQL changed host, node and compute_id of a server that nothing else tells of: Nova against Neutron and Placement.

    With a volume, or a migration that has ended, a third record would outweigh the row.
    """
    server = hardly_told(cloud)
    node = neighbour(cloud, server)
    cloud.update(
        server.database, "instances", {"uuid": server.uuid}, host=node["host"], node=node["hypervisor_hostname"],
        compute_id=node["id"],
    )  # fmt: skip
    return {"server": server.uuid}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "by_hand": by_hand,
    "end_lost": end_lost,
    "source_died": source_died,
    "all_three_columns": all_three_columns,
}
NOT_REPAIRED = {"all_three_columns": "Check by hand"}


def live_migrating(cloud: CloudRows) -> None:
    """A live migration: the allocation is already on the target."""
    cloud.pick("live_migrating")


def resized(cloud: CloudRows) -> None:
    """A resize awaits its confirmation, with allocations on both hosts."""
    cloud.pick("resized")


def just_moved(cloud: CloudRows) -> None:
    """The last steps of a migration are in progress."""
    server = cloud.pick("active")
    _moved(cloud, server)
    touch(cloud, server, 120)


def long_migrating(cloud: CloudRows) -> None:
    """A live migration has run for hours; the guest has switched over, and the source, which is alive, cleans up."""
    _migrating_for_hours(cloud)


def clock_ahead(cloud: CloudRows) -> None:
    """Likewise, in a cell where the clock of another host is ahead: the source is no less alive."""
    host, ahead = new_host(cloud, _migrating_for_hours(cloud).cell), cloud.ago(-1800)
    cloud.update(host.database, "services", {"host": host.name}, last_seen_up=ahead, updated_at=ahead)


def _migrating_for_hours(cloud: CloudRows) -> Server:
    server = cloud.pick("active")
    node = _moved(cloud, server)
    migrated(cloud, server, node, "running", str(server.host))
    cloud.update(server.database, "instances", {"uuid": server.uuid}, task_state="migrating")
    touch(cloud, server, OLD)
    return server


def just_ended(cloud: CloudRows) -> None:
    """A live migration was completed an hour ago: the remaining work may take long."""
    server = cloud.pick("active")
    node = _moved(cloud, server)
    migrated(cloud, server, node, "completed", str(server.host), age=3600)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, task_state="migrating")
    touch(cloud, server, 3600)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "live_migrating": live_migrating,
    "resized": resized,
    "just_moved": just_moved,
    "long_migrating": long_migrating,
    "clock_ahead": clock_ahead,
    "just_ended": just_ended,
}
