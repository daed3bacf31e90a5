# SPDX-License-Identifier: Apache-2.0
"""Build requests that were left behind (catalogue C4)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD, new_build_request


def _request(cloud: CloudRows, server: str, age: float = OLD, project: str = "") -> dict[str, Any]:
    return {"server": new_build_request(cloud, server, age, project)}


def _left(cloud: CloudRows, server: Server) -> dict[str, Any]:
    return _request(cloud, server.uuid, project=server.project_id)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The conductor died after it had made the server in its cell."""
    return _left(cloud, cloud.pick("active"))


def buried(cloud: CloudRows) -> dict[str, Any]:
    """It died after it had put the server into cell0."""
    return _left(cloud, cloud.pick("cell0_error"))


def never_scheduled(cloud: CloudRows) -> dict[str, Any]:
    """The message queue lost the request: no cell has the server."""
    server = str(uuid.uuid4())
    mapping = {"instance_uuid": server, "project_id": "p", "user_id": "u", "queued_for_delete": 0}
    cloud.insert("nova_api", "instance_mappings", cell_id=None, created_at=cloud.ago(OLD), **mapping)
    return _request(cloud, server)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"buried": buried, "never_scheduled": never_scheduled}
NOT_REPAIRED = {"never_scheduled": "openstack server delete"}


def being_scheduled(cloud: CloudRows) -> None:
    """A build of seconds ago."""
    _request(cloud, str(uuid.uuid4()), age=20)


def slow(cloud: CloudRows) -> None:
    """The scheduler is busy: ten minutes."""
    _request(cloud, str(uuid.uuid4()), age=600)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"being_scheduled": being_scheduled, "slow": slow}
