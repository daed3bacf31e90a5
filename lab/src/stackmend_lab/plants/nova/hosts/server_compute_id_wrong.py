# SPDX-License-Identifier: Apache-2.0
"""Servers whose rows name another compute node than their own (catalogue B10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import neighbour, touch


def _another(cloud: CloudRows, server: Server) -> dict[str, Any]:
    number = neighbour(cloud, server)["id"]
    cloud.update(server.database, "instances", {"uuid": server.uuid}, compute_id=number)
    return {"server": server.uuid}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """SQL moved the server back to its host, and left the id."""
    return _another(cloud, cloud.pick("active"))


def nobodys(cloud: CloudRows) -> dict[str, Any]:
    """The id of a compute node of another cell."""
    server = cloud.pick("stopped")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, compute_id=99_999)
    return {"server": server.uuid}


NOT_ON_LAB = "nova-compute corrects it by itself, sooner than an audit finds it"
VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"nobodys": nobodys}


def empty(cloud: CloudRows) -> None:
    """A release before 2023.2 left it empty."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, compute_id=None)


def just_moved(cloud: CloudRows) -> None:
    """The server was moved a minute ago: the new host sets the id next."""
    server = cloud.pick("active")
    _another(cloud, server)
    touch(cloud, server, 60)


def baremetal(cloud: CloudRows) -> None:
    """One service with many compute nodes."""
    cloud.pick("ironic")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "empty": empty,
    "just_moved": just_moved,
    "baremetal": baremetal,
}
