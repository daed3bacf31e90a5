# SPDX-License-Identifier: Apache-2.0
"""Volumes attached to servers that are gone (catalogue H6)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import new_build_request
from stackmend_lab.plants._volumes import attach, attached, drop_mapping, new_attachment, new_volume


def _in_use(cloud: CloudRows, *servers: str, **values: Any) -> dict[str, Any]:
    volume = new_volume(cloud, status="in-use", attach_status="attached", **values)
    for server in servers:
        new_attachment(cloud, volume, server)
    return {"volume": volume}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The server was deleted while Cinder did not answer."""
    server, volume, _, mapping = attached(cloud, "deleted")
    drop_mapping(cloud, server, mapping)
    return {"volume": volume}


def unknown(cloud: CloudRows) -> dict[str, Any]:
    """The server was purged long ago: no database remembers it."""
    return _in_use(cloud, str(uuid.uuid4()))


def reserved(cloud: CloudRows) -> dict[str, Any]:
    """The volume was reserved for a boot that never happened."""
    volume = new_volume(cloud, status="reserved", attach_status="reserved")
    new_attachment(cloud, volume, str(uuid.uuid4()), None, attach_status="reserved", connector=None)
    return {"volume": volume}


def both_gone(cloud: CloudRows) -> dict[str, Any]:
    """Two servers shared the volume, and both are gone."""
    return _in_use(cloud, cloud.pick("deleted").uuid, str(uuid.uuid4()), multiattach=1)


def one_of_two(cloud: CloudRows) -> dict[str, Any]:
    """Two servers shared the volume; one is gone, the other still uses it."""
    key = _in_use(cloud, str(uuid.uuid4()), multiattach=1)
    attach(cloud, cloud.pick("active"), key["volume"])
    return key


def while_detaching(cloud: CloudRows) -> dict[str, Any]:
    """The server was deleted by SQL during a detach."""
    key = _in_use(cloud, str(uuid.uuid4()))
    cloud.update("cinder", "volumes", {"id": key["volume"]}, status="detaching")
    return key


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "unknown": unknown,
    "reserved": reserved,
    "both_gone": both_gone,
    "one_of_two": one_of_two,
    "while_detaching": while_detaching,
}


def host_attachment(cloud: CloudRows) -> None:
    """Attached to a host: there never was a server."""
    volume = new_volume(cloud, status="in-use", attach_status="attached")
    new_attachment(cloud, volume, None, "control")


def about_to_be_built(cloud: CloudRows) -> None:
    """Reserved for a server that so far only has a build request."""
    server = str(uuid.uuid4())
    volume = new_volume(cloud, status="reserved", attach_status="reserved")
    new_attachment(cloud, volume, server, None, attach_status="reserved", connector=None)
    new_build_request(cloud, server, 300)
    values = {"instance_uuid": server, "project_id": uuid.uuid4().hex, "created_at": cloud.ago(300)}
    cloud.insert("nova_api", "instance_mappings", **values, cell_id=None, queued_for_delete=0)


def scheduling_failed(cloud: CloudRows) -> None:
    """A server that could not be scheduled keeps its volume reserved in cell0 until it is deleted."""
    server = cloud.pick("cell0_error")
    volume = new_volume(cloud, server.project_id)
    attach(cloud, server, volume, attach_status="reserved", connector=None, attached_host=None)


def soft_deleted(cloud: CloudRows) -> None:
    """A server that can still be restored."""
    attached(cloud, "soft_deleted")


def being_deleted(cloud: CloudRows) -> None:
    """The server was deleted a minute ago; Nova is detaching its volumes."""
    volume = new_volume(cloud, status="in-use", attach_status="attached")
    new_attachment(cloud, volume, str(uuid.uuid4()), updated_at=cloud.ago(60))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "host_attachment": host_attachment,
    "about_to_be_built": about_to_be_built,
    "scheduling_failed": scheduling_failed,
    "soft_deleted": soft_deleted,
    "being_deleted": being_deleted,
}
