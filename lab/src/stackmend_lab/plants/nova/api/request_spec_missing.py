# SPDX-License-Identifier: Apache-2.0
"""Live servers without a request spec (catalogue C5)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server


def _drop(cloud: CloudRows, server: Server) -> dict[str, Any]:
    cloud.delete("nova_api", "request_specs", {"instance_uuid": server.uuid})
    return {"server": server.uuid}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """nova_api was restored from a dump of before the server was made."""
    return _drop(cloud, cloud.pick("active"))


def offloaded(cloud: CloudRows) -> dict[str, Any]:
    """The same for an offloaded server, which cannot be unshelved any more."""
    return _drop(cloud, cloud.pick("shelved_offloaded"))


def volume_backed(cloud: CloudRows) -> dict[str, Any]:
    """The same for a server that boots from a volume."""
    return _drop(cloud, cloud.pick("volume_backed"))


def in_a_group(cloud: CloudRows) -> dict[str, Any]:
    """The same for a member of a server group, whose policy has to be kept."""
    server = cloud.pick("stopped")
    group = cloud.insert("nova_api", "instance_groups", uuid=str(uuid.uuid4()), name="g", project_id="p", user_id="u")
    cloud.insert("nova_api", "instance_group_member", instance_uuid=server.uuid, group_id=group)
    return _drop(cloud, server)


def of_an_architecture(cloud: CloudRows) -> dict[str, Any]:
    """Its image runs on some hosts only."""
    server = cloud.pick("active")
    cloud.insert(
        server.database, "instance_system_metadata", instance_uuid=server.uuid, key="image_hw_architecture",
        value="aarch64", deleted=0,
    )  # fmt: skip
    return _drop(cloud, server)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "offloaded": offloaded,
    "volume_backed": volume_backed,
    "in_a_group": in_a_group,
    "of_an_architecture": of_an_architecture,
}
NOT_REPAIRED = {"of_an_architecture": "its image says hw_architecture"}


def never_scheduled(cloud: CloudRows) -> None:
    """A server in cell0 whose spec was never written."""
    _drop(cloud, cloud.pick("cell0_error"))


def being_built(cloud: CloudRows) -> None:
    """Created seconds ago."""
    _drop(cloud, cloud.pick("building"))


def deleted(cloud: CloudRows) -> None:
    """A deleted server needs no spec."""
    _drop(cloud, cloud.pick("deleted"))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "never_scheduled": never_scheduled,
    "being_built": being_built,
    "deleted": deleted,
}
