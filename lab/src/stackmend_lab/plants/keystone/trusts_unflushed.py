# SPDX-License-Identifier: Apache-2.0
"""Trusts that ended long ago (catalogue K1)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._growth import DAY, LONG, MANY


def _trusts(cloud: CloudRows, age: float, number: int = MANY, **ended: str | None) -> None:
    for _ in range(number):
        cloud.insert(
            "keystone", "trust", id=uuid.uuid4().hex, trustor_user_id=uuid.uuid4().hex,
            trustee_user_id=uuid.uuid4().hex, project_id=uuid.uuid4().hex, impersonation=1,
            **(ended or {"deleted_at": cloud.ago(age)}),
        )  # fmt: skip


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Heat has deleted a trust with each stack, and of trusts for a day nobody has deleted any."""
    _trusts(cloud, LONG, MANY // 2)
    _trusts(cloud, LONG, MANY // 2, expires_at=cloud.ago(LONG))
    return {"service": "keystone"}


NOT_REPAIRED = {"plant": "keystone-manage trust_flush --date"}


def endless(cloud: CloudRows) -> None:
    """As many trusts that never expire."""
    _trusts(cloud, LONG, expires_at=None)


def lately(cloud: CloudRows) -> None:
    """As many, of the last months."""
    _trusts(cloud, 90 * DAY)


def a_few(cloud: CloudRows) -> None:
    """A hundred of old."""
    _trusts(cloud, LONG, 100)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"endless": endless, "lately": lately, "a_few": a_few}
