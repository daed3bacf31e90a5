# SPDX-License-Identifier: Apache-2.0
"""Volumes attached on another host than the server's (catalogue H9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import migrated, neighbour
from stackmend_lab.plants._volumes import attached, busy


def _elsewhere(cloud: CloudRows, kind: str = "active", host: str = "") -> Any:
    server, volume, attachment, _ = attached(cloud, kind)
    where = {"id": attachment}
    cloud.update("cinder", "volume_attachment", where, attached_host=host or neighbour(cloud, server)["host"])
    return server, volume


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A migration moved the server, but its attachment was never updated."""
    server, volume = _elsewhere(cloud)
    return {"volume": volume, "server": server.uuid}


def stopped(cloud: CloudRows) -> dict[str, Any]:
    """A stopped server was relocated in the database after the loss of its host."""
    server, volume = _elsewhere(cloud, "stopped", "lost-host")
    return {"volume": volume, "server": server.uuid}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"stopped": stopped}
NOT_REPAIRED = {"plant": "nova-manage volume_attachment refresh", "stopped": "nova-manage volume_attachment refresh"}


def migrating(cloud: CloudRows) -> None:
    """The server is being migrated."""
    server, _ = _elsewhere(cloud)
    busy(cloud, server, "migrating")


def evacuating(cloud: CloudRows) -> None:
    """An evacuation to another host is recorded, and in progress."""
    server, _ = _elsewhere(cloud)
    migrated(cloud, server, neighbour(cloud, server), "pre-migrating", str(server.host), 1800)


def with_a_domain(cloud: CloudRows) -> None:
    """Cinder has the host with its domain."""
    server, _, attachment, _ = attached(cloud)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attached_host=f"{server.host}.example.org")


def no_host(cloud: CloudRows) -> None:
    """An attachment from before connectors: Cinder knows no host."""
    _, _, attachment, _ = attached(cloud)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attached_host=None)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "migrating": migrating,
    "evacuating": evacuating,
    "with_a_domain": with_a_domain,
    "no_host": no_host,
}
