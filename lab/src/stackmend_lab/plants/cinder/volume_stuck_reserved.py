# SPDX-License-Identifier: Apache-2.0
"""Reservations of volumes that nobody will use (catalogue H4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._volumes import OLD, busy, drop_mapping, new_attachment, new_mapping, new_volume

_BARE: dict[str, Any] = {
    "attach_status": "reserved", "attach_time": None, "connector": None, "connection_info": None, "mountpoint": None,
}  # fmt: skip


def _reserved(cloud: CloudRows, server: Server, age: int = OLD) -> tuple[str, str]:
    """(volume, attachment) that Cinder reserved for the server that many seconds ago; it updates both rows."""
    volume = new_volume(cloud, server.project_id, status="reserved", updated_at=cloud.ago(age))
    return volume, new_attachment(cloud, volume, server.uuid, None, **_BARE, updated_at=cloud.ago(age))


def plant(cloud: CloudRows) -> dict[str, Any]:
    """nova-api died after it had reserved the volume."""
    server = cloud.pick("active")
    return {"volume": _reserved(cloud, server)[0], "server": server.uuid}


def attach_failed(cloud: CloudRows) -> dict[str, Any]:
    """An attach to a stopped server failed; Nova removed its mapping, and the message to Cinder was lost."""
    server = cloud.pick("stopped")
    volume, attachment = _reserved(cloud, server)
    drop_mapping(cloud, server, new_mapping(cloud, server, volume, attachment))
    return {"volume": volume, "server": server.uuid}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"attach_failed": attach_failed}


def just_reserved(cloud: CloudRows) -> None:
    """An attach that began a minute ago."""
    _reserved(cloud, cloud.pick("active"), 60)


def mapped(cloud: CloudRows) -> None:
    """The attach waits for nova-compute, which has its mapping already."""
    server = cloud.pick("active")
    volume, attachment = _reserved(cloud, server)
    new_mapping(cloud, server, volume, attachment)


def shelved(cloud: CloudRows) -> None:
    """An offloaded server keeps its volume reserved, even with a mapping that cannot be seen."""
    _reserved(cloud, cloud.pick("shelved_offloaded"))


def server_busy(cloud: CloudRows) -> None:
    """The server is being unshelved or rebuilt: Nova has reserved its volume anew."""
    server = cloud.pick("active")
    _reserved(cloud, server)
    busy(cloud, server, "rebuilding")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "just_reserved": just_reserved,
    "mapped": mapped,
    "shelved": shelved,
    "server_busy": server_busy,
}
