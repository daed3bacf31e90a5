# SPDX-License-Identifier: Apache-2.0
"""Locks of inspections (catalogue G2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server

REASON = "stackmend disk inspect: ticket CHG-1234, approved by Ann Owner; it ran"


def _locked(cloud: CloudRows, server: Server, reason: str, seconds: int, *, deleted: bool = False) -> None:
    cloud.update(server.database, "instances", {"uuid": server.uuid}, locked=int(not deleted), locked_by="admin")
    cloud.insert(
        server.database, "instance_system_metadata", instance_uuid=server.uuid, key="locked_reason", value=reason,
        created_at=cloud.ago(seconds), deleted=4711 if deleted else 0,
    )  # fmt: skip


def plant(cloud: CloudRows) -> dict[str, Any]:
    """It was stopped for an inspection three days ago."""
    server = cloud.pick("stopped")
    _locked(cloud, server, REASON, 3 * 86400)
    return {"server": server.uuid}


def in_rescue(cloud: CloudRows) -> dict[str, Any]:
    """It has been in rescue since the day before yesterday."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, vm_state="rescued")
    _locked(cloud, server, f"{REASON}; by rescue", 2 * 86400)
    return {"server": server.uuid}


#: only who inspects knows whether it is over
NOT_REPAIRED = {"plant": "disk release", "in_rescue": "disk release"}
VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"in_rescue": in_rescue}


def going_on(cloud: CloudRows) -> None:
    """It was begun an hour ago."""
    _locked(cloud, cloud.pick("stopped"), REASON, 3600)


def released(cloud: CloudRows) -> None:
    """It was released: Nova keeps the row, deleted."""
    _locked(cloud, cloud.pick("active"), REASON, 3 * 86400, deleted=True)


def unlocked_by_hand(cloud: CloudRows) -> None:
    """Somebody has unlocked it in the database: its owner can do with it what he likes."""
    server = cloud.pick("stopped")
    _locked(cloud, server, REASON, 3 * 86400)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, locked=0)


def locked_by_its_owner(cloud: CloudRows) -> None:
    """Somebody else has locked it, for a reason of his own."""
    _locked(cloud, cloud.pick("active"), "do not touch: stackmend disk inspect", 3 * 86400)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "going_on": going_on,
    "released": released,
    "unlocked_by_hand": unlocked_by_hand,
    "locked_by_its_owner": locked_by_its_owner,
}
