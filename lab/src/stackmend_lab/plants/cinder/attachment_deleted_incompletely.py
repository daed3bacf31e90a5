# SPDX-License-Identifier: Apache-2.0
"""Attachments deleted without everything that belongs to them (catalogue H26)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, attached, child, drop_mapping, free


def _specs(cloud: CloudRows, name: str, **values: Any) -> None:
    row = {"attachment_id": name, "key": "host", "value": "c1", "created_at": cloud.ago(OLD), "deleted": 0}
    cloud.insert("cinder", "attachment_specs", **{**row, **values})


def _gone(cloud: CloudRows, **gone: Any) -> dict[str, Any]:
    server, volume, name, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    free(cloud, volume)
    child(cloud, "volume_metadata", volume, key="kept", value="yes")
    _specs(cloud, name)
    cloud.update("cinder", "volume_attachment", {"id": name}, attach_status="detached", **gone)
    return {"attachment": name}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Marked by hand, with the time: its specs and its volume are not."""
    return _gone(cloud, deleted=1, deleted_at=cloud.ago(OLD))


def no_time(cloud: CloudRows) -> dict[str, Any]:
    """Marked by hand, without the time."""
    return _gone(cloud, deleted=1)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"no_time": no_time}


def deleted_well(cloud: CloudRows) -> None:
    """Deleted by Cinder, with the time and everything that belongs to it."""
    name = _gone(cloud, deleted=1, deleted_at=cloud.ago(OLD))["attachment"]
    cloud.update("cinder", "attachment_specs", {"attachment_id": name}, deleted=1, deleted_at=cloud.ago(OLD))


def alive(cloud: CloudRows) -> None:
    """A live attachment with its specs."""
    _specs(cloud, attached(cloud)[2])


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"deleted_well": deleted_well, "alive": alive}
