# SPDX-License-Identifier: Apache-2.0
"""Volumes that do not name the service that they belong to (catalogue H22)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import cinder_service, new_volume


def _back_end(cloud: CloudRows) -> str:
    """A back end of its own, which is served."""
    name = f"san-{uuid.uuid4().hex[:8]}@ceph"
    cinder_service(cloud, name, "cinder-volume")
    return f"{name}#volumes"


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Two volumes from before Queens, whose migration nobody ran."""
    backend = _back_end(cloud)
    for _ in range(2):
        new_volume(cloud, host=backend, service_uuid=None)
    return {"backend": backend}


def taken_over(cloud: CloudRows) -> dict[str, Any]:
    """Cinder manages a volume that somebody else created, beside one of its own."""
    backend = _back_end(cloud)
    new_volume(cloud, host=backend)
    new_volume(cloud, host=backend, service_uuid=None)
    return {"backend": backend}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"taken_over": taken_over}
_BY_HAND = "UPDATE volumes SET service_uuid"
NOT_REPAIRED = {"plant": _BY_HAND, "taken_over": _BY_HAND}


def failed(cloud: CloudRows) -> None:
    """The driver could not create it: the column is filled last."""
    new_volume(cloud, host=_back_end(cloud), service_uuid=None, status="error")


def not_placed(cloud: CloudRows) -> None:
    """The scheduler found no back end, so there is no service."""
    new_volume(cloud, host=None, service_uuid=None, status="error")


def just_created(cloud: CloudRows) -> None:
    """It is available, and its service is recorded next."""
    now = cloud.ago(5)
    new_volume(cloud, host=_back_end(cloud), service_uuid=None, created_at=now, updated_at=now)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "failed": failed,
    "not_placed": not_placed,
    "just_created": just_created,
}
