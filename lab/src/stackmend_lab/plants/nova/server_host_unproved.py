# SPDX-License-Identifier: Apache-2.0
"""Servers without a record of how they came to their host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import bind, migrated, neighbour, provider, touch


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Somebody has moved every record of a running server by hand."""
    server = cloud.pick("stopped")
    _taken(cloud, server)
    return {"server": server.uuid}


def _taken(cloud: CloudRows, server: Server) -> dict[str, Any]:
    node = neighbour(cloud, server)
    where = {"uuid": server.uuid}
    name = node["hypervisor_hostname"]
    cloud.update(server.database, "instances", where, host=node["host"], node=name, compute_id=node["id"])
    for port in server.ports:
        bind(cloud, port, str(node["host"]))
    there = provider(cloud, str(node["uuid"]))
    cloud.update("placement", "allocations", {"consumer_id": server.uuid}, resource_provider_id=there)
    held = {"instance_uuid": server.uuid, "deleted": 0}
    cloud.update("cinder", "volume_attachment", held, attached_host=node["host"])
    return node


NOT_REPAIRED = {"plant": "there is no repair"}


def moved(cloud: CloudRows) -> None:
    """A live migration brought it there."""
    server = cloud.pick("stopped")
    migrated(cloud, server, _taken(cloud, server), "completed", str(server.host))


def rebooted(cloud: CloudRows) -> None:
    """It was rebooted there since, which proves its host."""
    server = cloud.pick("stopped")
    node = _taken(cloud, server)
    action = cloud.insert(
        server.database, "instance_actions", action="reboot", instance_uuid=server.uuid, request_id="req-reboot",
        start_time=cloud.ago(7200), finish_time=cloud.ago(7200), deleted=0,
    )  # fmt: skip
    cloud.insert(
        server.database, "instance_actions_events", event="compute_reboot_instance", action_id=action,
        start_time=cloud.ago(7200), finish_time=cloud.ago(7200), result="Success", host=node["host"], deleted=0,
    )  # fmt: skip


def unshelved(cloud: CloudRows) -> None:
    """An unshelve launches a server again, without a migration record."""
    server = cloud.pick("stopped")
    node = _taken(cloud, server)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, launched_on=node["host"])


def just_taken(cloud: CloudRows) -> None:
    """A minute ago."""
    server = cloud.pick("stopped")
    _taken(cloud, server)
    touch(cloud, server, 60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "moved": moved,
    "rebooted": rebooted,
    "unshelved": unshelved,
    "just_taken": just_taken,
}
