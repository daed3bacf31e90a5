# SPDX-License-Identifier: Apache-2.0
"""Shares that are never attached or detached (catalogue B16)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD
from stackmend_lab.plants.nova.states._actions import under_way


def _share(cloud: CloudRows, server: Server, status: str, age: float = OLD) -> dict[str, Any]:
    share = str(uuid.uuid4())
    cloud.insert(
        server.database, "share_mapping", uuid=str(uuid.uuid4()), instance_uuid=server.uuid, share_id=share,
        status=status, tag=share, export_location="10.0.0.50:/mnt/foo", share_proto="NFS",
        created_at=cloud.ago(age + 5), updated_at=cloud.ago(age),
    )  # fmt: skip
    return {"server": server.uuid, "share": share}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute was stopped while it unmounted the share."""
    return _share(cloud, cloud.pick("stopped"), "detaching")


def attaching(cloud: CloudRows) -> dict[str, Any]:
    """The message that asked for it was lost."""
    return _share(cloud, cloud.pick("stopped"), "attaching")


def in_error(cloud: CloudRows) -> dict[str, Any]:
    """The export could not be mounted, and the server was set to ERROR."""
    return _share(cloud, cloud.pick("error"), "error")


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"attaching": attaching, "in_error": in_error}
NOT_REPAIRED = {
    "plant": "with microversion 2.97",
    "attaching": "with microversion 2.97",
    "in_error": "with microversion 2.97",
}


def attached(cloud: CloudRows) -> None:
    """A share in use."""
    _share(cloud, cloud.pick("active"), "active")


def inactive(cloud: CloudRows) -> None:
    """The share of a stopped server is not mounted."""
    _share(cloud, cloud.pick("stopped"), "inactive")


def just_begun(cloud: CloudRows) -> None:
    """A share has been attached for half an hour: Manila is slow."""
    _share(cloud, cloud.pick("stopped"), "attaching", 1800)


def being_started(cloud: CloudRows) -> None:
    """The server is being started, which mounts its shares again."""
    server = cloud.pick("stopped")
    _share(cloud, server, "error")
    under_way(cloud, server, "powering-on", 60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "attached": attached,
    "inactive": inactive,
    "just_begun": just_begun,
    "being_started": being_started,
}
