# SPDX-License-Identifier: Apache-2.0
"""Servers of which far too much is recorded (catalogue B5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._growth import DAY, many


def _faults(cloud: CloudRows, server: Server, number: int) -> None:
    many(
        cloud, server.database, "instance_faults", number, instance_uuid=server.uuid, code=500, message="NoValidHost",
        deleted=0, created_at=cloud.ago(DAY),
    )  # fmt: skip


def _actions(cloud: CloudRows, server: Server, number: int) -> None:
    many(
        cloud, server.database, "instance_actions", number, instance_uuid=server.uuid, action="createImage",
        request_id="req-rehearsal", start_time=cloud.ago(DAY), finish_time=cloud.ago(DAY), deleted=0,
        created_at=cloud.ago(DAY), updated_at=cloud.ago(DAY),
    )  # fmt: skip


def _found(server: Server) -> dict[str, Any]:
    return {"server": server.uuid, "cell": server.cell}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A script tries to resize it every hour."""
    server = cloud.pick("stopped")
    _faults(cloud, server, 110)
    return _found(server)


def actions(cloud: CloudRows) -> dict[str, Any]:
    """A backup every hour, for most of a year."""
    server = cloud.pick("stopped")
    _actions(cloud, server, 5100)
    return _found(server)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"actions": actions}
NOT_REPAIRED = dict.fromkeys(("plant", "actions"), "find out what fails, or is done, again and again")


def ordinary(cloud: CloudRows) -> None:
    """A server with a nightly backup, and a fault now and then."""
    server = cloud.pick("stopped")
    _actions(cloud, server, 700)
    _faults(cloud, server, 30)


def deleted(cloud: CloudRows) -> None:
    """A server was deleted while something recorded its faults: they go into the archive with it."""
    _faults(cloud, cloud.pick("deleted"), 110)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"ordinary": ordinary, "deleted": deleted}
