# SPDX-License-Identifier: Apache-2.0
"""Volumes on back ends that nobody serves (catalogue H22)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, cinder_service, new_volume


def _name() -> str:
    return f"old-{uuid.uuid4().hex[:8]}@ceph"


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The back end was renamed in cinder.conf: three volumes have its old name."""
    backend = f"{_name()}#volumes"
    for _ in range(3):
        new_volume(cloud, host=backend)
    return {"backend": backend}


def service_removed(cloud: CloudRows) -> dict[str, Any]:
    """The service was removed with cinder-manage, and had a volume left."""
    backend = _name()
    number = cinder_service(cloud, backend, "cinder-volume", 9 * OLD)
    cloud.update("cinder", "services", {"id": number}, deleted=1, deleted_at=cloud.ago(8 * OLD))
    new_volume(cloud, host=f"{backend}#volumes")
    return {"backend": f"{backend}#volumes"}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"service_removed": service_removed}
NOT_REPAIRED = {"plant": "cinder-manage volume update_host", "service_removed": "cinder-manage volume update_host"}


def silent(cloud: CloudRows) -> None:
    """A service that is down for maintenance."""
    backend = _name()
    cinder_service(cloud, backend, "cinder-volume", 9 * OLD)
    new_volume(cloud, host=f"{backend}#volumes")


def not_placed(cloud: CloudRows) -> None:
    """A volume for which the scheduler found no back end."""
    new_volume(cloud, host=None, status="error")


def clustered(cloud: CloudRows) -> None:
    """An active-active cluster: the volume names a host that left it, and the cluster is served by another one."""
    cluster = f"cluster-{uuid.uuid4().hex[:8]}@ceph"
    number = cinder_service(cloud, _name(), "cinder-volume")
    cloud.update("cinder", "services", {"id": number}, cluster_name=cluster)
    new_volume(cloud, host=f"{_name()}#volumes", cluster_name=f"{cluster}#volumes")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "silent": silent,
    "not_placed": not_placed,
    "clustered": clustered,
}
