# SPDX-License-Identifier: Apache-2.0
"""Archived servers that nobody purges (catalogue B5)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._growth import DAY, LONG, MANY, many

CELL = "cell:cell2"


def _archived(cloud: CloudRows, age: float, number: int = MANY) -> None:
    many(
        cloud, CELL, "shadow_instances", number, uuid=str(uuid.uuid4()), vm_state="deleted", deleted=1,
        created_at=cloud.ago(age + DAY), deleted_at=cloud.ago(age),
    )  # fmt: skip


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A timer archives, and nobody purges."""
    _archived(cloud, LONG)
    return {"cell": "cell2"}


NOT_REPAIRED = {"plant": "nova-manage db purge --all-cells"}


def lately(cloud: CloudRows) -> None:
    """As many, deleted within the last year."""
    _archived(cloud, 300 * DAY)


def a_few(cloud: CloudRows) -> None:
    """A hundred of old."""
    _archived(cloud, LONG, 100)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"lately": lately, "a_few": a_few}
