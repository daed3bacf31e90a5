# SPDX-License-Identifier: Apache-2.0
"""Volumes whose attach never ended (catalogue H2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import (
    OLD,
    act,
    attach,
    attached,
    busy,
    drop_attachment,
    drop_mapping,
    new_attachment,
    new_volume,
)


def _attaching(
    cloud: CloudRows, volume: str, server: str | None = None, age: int = OLD, **values: Any
) -> dict[str, Any]:
    wanted = {"status": "attaching", "attach_status": "attaching", **values}
    cloud.update("cinder", "volumes", {"id": volume}, updated_at=cloud.ago(age), **wanted)
    return {"volume": volume, "server": server}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute died while it attached the volume, and Nova cleared up its side alone."""
    server, volume, attachment, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attach_status="attaching")
    return _attaching(cloud, volume, server.uuid)


def alone(cloud: CloudRows) -> dict[str, Any]:
    """Cinder's attachment went, Nova's mapping and the status did not."""
    server, volume, attachment, _ = attached(cloud)
    drop_attachment(cloud, attachment)
    return _attaching(cloud, volume, server.uuid)


def nothing(cloud: CloudRows) -> dict[str, Any]:
    """Only the status was left behind."""
    return _attaching(cloud, new_volume(cloud), attach_status="detached")


def mapped(cloud: CloudRows) -> dict[str, Any]:
    """The guest may have the disk: only the completion is missing."""
    server, volume, attachment, _ = attached(cloud)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attach_status="attaching")
    return _attaching(cloud, volume, server.uuid)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"alone": alone, "nothing": nothing, "mapped": mapped}
NOT_REPAIRED = {"mapped": "no database shows whether the guest"}


def just_begun(cloud: CloudRows) -> None:
    """An attach that began a minute ago."""
    _attaching(cloud, new_volume(cloud), age=60)


def in_progress(cloud: CloudRows) -> None:
    """nova-compute is still at it: the back end takes its time."""
    server, volume, attachment, _ = attached(cloud)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attach_status="attaching")
    act(cloud, server, "attach_volume")
    _attaching(cloud, volume)


def server_busy(cloud: CloudRows) -> None:
    """The server is being built from the volume."""
    server, volume, attachment, _ = attached(cloud)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attach_status="attaching")
    busy(cloud, server, "block_device_mapping")
    _attaching(cloud, volume)


def to_a_host(cloud: CloudRows) -> None:
    """A volume that is being attached to a host, to be copied into an image."""
    volume = new_volume(cloud)
    new_attachment(cloud, volume, None, "control", attach_status="attaching")
    _attaching(cloud, volume)


def multiattach(cloud: CloudRows) -> None:
    """A second server is getting a volume that the first one uses: the volume says in-use."""
    _, volume, _, _ = attached(cloud)
    other = cloud.pick("active")
    attachment, _ = attach(cloud, other, volume)
    cloud.update("cinder", "volume_attachment", {"id": attachment}, attach_status="attaching")
    busy(cloud, other, "block_device_mapping")
    cloud.update("cinder", "volumes", {"id": volume}, multiattach=1)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "just_begun": just_begun,
    "in_progress": in_progress,
    "server_busy": server_busy,
    "to_a_host": to_a_host,
    "multiattach": multiattach,
}
