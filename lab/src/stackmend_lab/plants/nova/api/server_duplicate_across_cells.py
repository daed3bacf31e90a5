# SPDX-License-Identifier: Apache-2.0
"""Servers that are live in a cell too many, or in the wrong one (catalogue B12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD

#: what a server has in any cell as soon as it is created there
_ROWS = ("instances", "instance_info_caches", "instance_extra", "instance_system_metadata")


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Scheduling failed after the cell had the server: it was buried in cell0 as well."""
    server = cloud.pick("no_nic")
    for table in _ROWS:
        column = "uuid" if table == "instances" else "instance_uuid"
        for row in cloud.rows(server.database, f"SELECT * FROM {table} WHERE {column} = :u", {"u": server.uuid}):
            own = {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in row.items() if k != "id"}
            if table == "instances":
                own |= {"host": None, "node": None, "launched_on": None, "compute_id": None, "launched_at": None,
                        "vm_state": "error", "power_state": 0, "updated_at": cloud.ago(OLD)}  # fmt: skip
            cloud.insert("cell:cell0", table, **own)
    return {"server": server.uuid}


def astray(cloud: CloudRows) -> dict[str, Any]:
    """nova_api was restored from a dump, and maps the server to cell0."""
    server = cloud.pick("active")
    _map(cloud, server, "cell0")
    return {"server": server.uuid}


def _map(cloud: CloudRows, server: Server, cell: str) -> None:
    sql = "SELECT id, name FROM cell_mappings"
    number = next(row["id"] for row in cloud.rows("nova_api", sql) if row["name"] == cell)
    cloud.update("nova_api", "instance_mappings", {"instance_uuid": server.uuid}, cell_id=number)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"astray": astray}
NOT_REPAIRED = {"plant": "virsh list --all --uuid", "astray": "map it to where it is"}


def across_cells(cloud: CloudRows) -> None:
    """A resize between cells awaits its confirmation: one of the two rows is hidden."""
    cloud.pick("cross_cell")


def deleted(cloud: CloudRows) -> None:
    """A server that is deleted in the cell that it came from."""
    cloud.pick("deleted")


def just_created(cloud: CloudRows) -> None:
    """The conductor has created the server in its cell, and is about to map it."""
    server = cloud.pick("building")
    _map(cloud, server, "cell0")


def failed(cloud: CloudRows) -> None:
    """A server that could not be scheduled is in cell0, as it should be."""
    cloud.pick("cell0_error")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "across_cells": across_cells,
    "deleted": deleted,
    "just_created": just_created,
    "failed": failed,
}
