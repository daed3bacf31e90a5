# SPDX-License-Identifier: Apache-2.0
"""Servers whose ports and allocation are where Nova does not see them (catalogue B8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend.lab.cloud import Cloud, Server
from stackmend.lab.plants._servers import bind, neighbour, provider, touch


def plant(cloud: Cloud) -> dict[str, Any]:
    """A live migration failed after the guest had moved."""
    server = cloud.pick("active")
    node = _moved(cloud, server)
    cloud.insert(
        server.database, "migrations", uuid=server.migration[:-4] + "beef", instance_uuid=server.uuid, status="error",
        migration_type="live-migration", source_compute=server.host, source_node=server.node,
        dest_compute=node["host"], dest_node=node["hypervisor_hostname"], deleted=0, created_at=cloud.ago(9000),
        updated_at=cloud.ago(8000),
    )  # fmt: skip
    return {"server": server.uuid}


def _moved(cloud: Cloud, server: Server) -> dict[str, Any]:
    """Let everything but Nova's own row say another host."""
    node = neighbour(cloud, server)
    for port in server.ports:
        bind(cloud, port, str(node["host"]))
    there = provider(cloud, str(node["uuid"]))
    cloud.update("placement", "allocations", {"consumer_id": server.uuid}, resource_provider_id=there)
    return node


def by_hand(cloud: Cloud) -> dict[str, Any]:
    """SQL moved host and node to a typing error of a living host; a note of an old resize is left."""
    server = cloud.pick("multi_nic")
    _moved(cloud, server)
    cloud.insert(
        server.database, "instance_system_metadata", instance_uuid=server.uuid, key="old_vm_state", value="active",
        deleted=0, created_at=cloud.ago(8000),
    )  # fmt: skip
    return {"server": server.uuid}


VARIANTS: dict[str, Callable[[Cloud], dict[str, Any]]] = {"by_hand": by_hand}


def live_migrating(cloud: Cloud) -> None:
    """A live migration: the allocation is on the target already."""
    cloud.pick("live_migrating")


def resized(cloud: Cloud) -> None:
    """A resize waits for its confirmation, with a claim on both hosts."""
    cloud.pick("resized")


def just_moved(cloud: Cloud) -> None:
    """The last steps of a migration are under way."""
    server = cloud.pick("active")
    _moved(cloud, server)
    touch(cloud, server, 120)


LOOK_ALIKES: dict[str, Callable[[Cloud], None]] = {
    "live_migrating": live_migrating,
    "resized": resized,
    "just_moved": just_moved,
}
