# SPDX-License-Identifier: Apache-2.0
"""Allocations on hosts that their servers are not on (catalogue E2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend.lab.cloud import Cloud, Server
from stackmend.lab.plants._servers import neighbour, provider, touch


def plant(cloud: Cloud) -> dict[str, Any]:
    """A migration was reverted half way: the server is charged to the other host alone."""
    server = cloud.pick("active")
    node = _elsewhere(cloud, server)
    return {"server": server.uuid, "wrong_provider": node["uuid"]}


def _elsewhere(cloud: Cloud, server: Server) -> dict[str, Any]:
    node = neighbour(cloud, server)
    there = provider(cloud, str(node["uuid"]))
    cloud.update("placement", "allocations", {"consumer_id": server.uuid}, resource_provider_id=there)
    return node


def both(cloud: Cloud) -> dict[str, Any]:
    """The source of an evacuation never came back to give its share up, and the record of it is gone."""
    server = cloud.pick("stopped")
    node = neighbour(cloud, server)
    there = provider(cloud, str(node["uuid"]))
    sql = "SELECT resource_class_id, used FROM allocations WHERE consumer_id = :c"
    for row in cloud.rows("placement", sql, {"c": server.uuid}):
        cloud.insert("placement", "allocations", resource_provider_id=there, consumer_id=server.uuid, **row)
    return {"server": server.uuid, "wrong_provider": node["uuid"]}


VARIANTS: dict[str, Callable[[Cloud], dict[str, Any]]] = {"both": both}


def evacuated(cloud: Cloud) -> None:
    """The source of an evacuation has not come back yet: its share is legal."""
    cloud.pick("evacuated")


def resized(cloud: Cloud) -> None:
    """A resize waits for its confirmation."""
    cloud.pick("resized")


def live_migrating(cloud: Cloud) -> None:
    """A live migration: the server holds the target already."""
    cloud.pick("live_migrating")


def baremetal(cloud: Cloud) -> None:
    """Nodes move between the hosts of the service."""
    cloud.pick("ironic")


def just_moved(cloud: Cloud) -> None:
    """The server was moved a minute ago."""
    server = cloud.pick("active")
    _elsewhere(cloud, server)
    touch(cloud, server, 60)


LOOK_ALIKES: dict[str, Callable[[Cloud], None]] = {
    "evacuated": evacuated,
    "resized": resized,
    "live_migrating": live_migrating,
    "baremetal": baremetal,
    "just_moved": just_moved,
}
