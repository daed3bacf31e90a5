# SPDX-License-Identifier: Apache-2.0
"""Volumes that wait for a migration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import new_volume


def plant(cloud: CloudRows) -> dict[str, Any]:
    """It was asked for hours ago, and nothing has happened."""
    return {"volume": new_volume(cloud, migration_status="starting")}


def just_begun(cloud: CloudRows) -> None:
    """It was asked for a minute ago."""
    new_volume(cloud, migration_status="starting", updated_at=cloud.ago(60))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"just_begun": just_begun}
