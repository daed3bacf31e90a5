# SPDX-License-Identifier: Apache-2.0
"""Deleted rows of Cinder that nobody purges (catalogue H21)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._growth import DAY, LONG, MANY, many
from stackmend_lab.plants._volumes import new_volume


def _committed(cloud: CloudRows, age: float, number: int = MANY) -> None:
    """Reservations of quota that were committed."""
    many(
        cloud, "cinder", "reservations", number, uuid=str(uuid.uuid4()), project_id=uuid.uuid4().hex,
        resource="gigabytes", delta=1, expire=cloud.ago(age - DAY), created_at=cloud.ago(age), deleted=1,
        deleted_at=cloud.ago(age),
    )  # fmt: skip


def _described(cloud: CloudRows, age: float, number: int) -> None:
    """What Cinder copied of the image of a volume, each time that the volume was made anew of it."""
    many(
        cloud, "cinder", "volume_glance_metadata", number, volume_id=new_volume(cloud), key="min_ram", value="512",
        created_at=cloud.ago(age), deleted=1, deleted_at=cloud.ago(age),
    )  # fmt: skip


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Volumes come and go for years, and nobody purges: too many rows in all, in no table alone."""
    _committed(cloud, LONG, MANY // 2)
    _described(cloud, LONG, MANY // 2)
    return {"service": "cinder"}


NOT_REPAIRED = {"plant": "cinder-manage db purge 180"}


def lately(cloud: CloudRows) -> None:
    """As many, of the last months."""
    _committed(cloud, 90 * DAY)


def a_few(cloud: CloudRows) -> None:
    """A hundred of old."""
    _committed(cloud, LONG, 100)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"lately": lately, "a_few": a_few}
