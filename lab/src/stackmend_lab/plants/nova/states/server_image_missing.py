# SPDX-License-Identifier: Apache-2.0
"""Shelved servers without their image (catalogue B15)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._images import new_image
from stackmend_lab.plants._servers import OLD, touch


def _shelved(cloud: CloudRows, server: Server, image: str, **values: Any) -> dict[str, Any]:
    cloud.insert(
        server.database, "instance_system_metadata", instance_uuid=server.uuid, key="shelved_image_id", value=image,
        deleted=0, created_at=cloud.ago(OLD),
    )  # fmt: skip
    if values:
        cloud.update(server.database, "instances", {"uuid": server.uuid}, **values)
    return {"server": server.uuid}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The image of an offloaded server was purged."""
    return _shelved(cloud, cloud.pick("shelved_offloaded"), str(uuid.uuid4()))


def deleted(cloud: CloudRows) -> dict[str, Any]:
    """Its owner deleted it."""
    image = str(uuid.uuid4())
    cloud.insert(
        "glance", "images", id=image, name="web-1-shelved", status="deleted", visibility="private", size=1, min_disk=0,
        min_ram=0, protected=0, os_hidden=0, owner="p", created_at=cloud.ago(OLD), deleted=1, deleted_at=cloud.ago(OLD),
    )  # fmt: skip
    return _shelved(cloud, cloud.pick("shelved_offloaded"), image)


def on_host(cloud: CloudRows) -> dict[str, Any]:
    """The server has not been offloaded yet."""
    return _shelved(cloud, cloud.pick("stopped"), str(uuid.uuid4()), vm_state="shelved")


def failed(cloud: CloudRows) -> dict[str, Any]:
    """The server was unshelved: it is in ERROR, and its task_state was left."""
    server = cloud.pick("shelved_offloaded")
    key = _shelved(cloud, server, str(uuid.uuid4()), vm_state="error", task_state="unshelving")
    touch(cloud, server, OLD + 600)
    return key


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "deleted": deleted,
    "on_host": on_host,
    "failed": failed,
}
NOT_REPAIRED = {
    "plant": "under the same id",
    "deleted": "under the same id",
    "on_host": "openstack server unshelve",
    "failed": "under the same id",
}


def shelved(cloud: CloudRows) -> None:
    """An offloaded server with its image."""
    _shelved(cloud, cloud.pick("shelved_offloaded"), new_image(cloud))


def volume_backed(cloud: CloudRows) -> None:
    """An offloaded server that boots from a volume has no image."""
    cloud.pick("shelved_offloaded")


def being_unshelved(cloud: CloudRows) -> None:
    """The server is active again, and Nova has deleted the image, but not yet the record of it."""
    _shelved(cloud, cloud.pick("active"), str(uuid.uuid4()))


def being_deleted(cloud: CloudRows) -> None:
    """A shelved server is being deleted: Nova deletes the image first."""
    server = cloud.pick("shelved_offloaded")
    _shelved(cloud, server, str(uuid.uuid4()), task_state="deleting")
    touch(cloud, server, 900)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "shelved": shelved,
    "volume_backed": volume_backed,
    "being_unshelved": being_unshelved,
    "being_deleted": being_deleted,
}
