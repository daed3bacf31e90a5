# SPDX-License-Identifier: Apache-2.0
"""Live servers that nova_api does not map to their cell (catalogue C2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server


def _unmap(cloud: CloudRows, server: Server) -> dict[str, Any]:
    cloud.delete("nova_api", "instance_mappings", {"instance_uuid": server.uuid})
    return {"server": server.uuid, "cell": server.cell}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """nova_api was restored from a dump of before the server was made."""
    return _unmap(cloud, cloud.pick("active"))


def soft_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The same for a server that can be restored."""
    return _unmap(cloud, cloud.pick("soft_deleted"))


def in_cell0(cloud: CloudRows) -> dict[str, Any]:
    """A server that could not be scheduled."""
    return _unmap(cloud, cloud.pick("cell0_error"))


def no_cell(cloud: CloudRows) -> dict[str, Any]:
    """The conductor died after it had made the server in the cell, and before it mapped it."""
    server = cloud.pick("stopped")
    cloud.update("nova_api", "instance_mappings", {"instance_uuid": server.uuid}, cell_id=None)
    return {"server": server.uuid, "cell": server.cell}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "soft_deleted": soft_deleted,
    "in_cell0": in_cell0,
    "no_cell": no_cell,
}


def being_built(cloud: CloudRows) -> None:
    """Created seconds ago: the mapping follows."""
    server = cloud.pick("building")
    cloud.update("nova_api", "instance_mappings", {"instance_uuid": server.uuid}, cell_id=None)


def not_scheduled(cloud: CloudRows) -> None:
    """A server that no cell has yet."""
    cloud.pick("unscheduled")


def across_cells(cloud: CloudRows) -> None:
    """The hidden half of a resize across cells: the mapping names the cell of the other half."""
    cloud.pick("cross_cell")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "being_built": being_built,
    "not_scheduled": not_scheduled,
    "across_cells": across_cells,
}
