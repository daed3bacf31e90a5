# SPDX-License-Identifier: Apache-2.0
"""Servers that nova_api maps to a cell that has no row of them (catalogue C1)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import OLD, new_consumer


def _mapped(cloud: CloudRows, cell: int | None = 2, age: float = OLD, queued: int | None = 0) -> str:
    server = str(uuid.uuid4())
    cloud.insert(
        "nova_api", "instance_mappings", instance_uuid=server, cell_id=cell, project_id="p", user_id="u",
        queued_for_delete=queued, created_at=cloud.ago(age),
    )  # fmt: skip
    return server


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The row was deleted by hand; the guest still runs, and its allocation is not an orphan."""
    server = _mapped(cloud)
    new_consumer(cloud, server, 1)
    return {"server": server}


def archived(cloud: CloudRows) -> dict[str, Any]:
    """An old release archived the server, and left its mapping."""
    return {"server": _mapped(cloud, age=400 * 86400)}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"archived": archived}
NOT_REPAIRED = dict.fromkeys(("plant", "archived"), "there is no repair for it yet")


def queued(cloud: CloudRows) -> None:
    """The server was deleted: its rows are gone before its mapping."""
    _mapped(cloud, queued=1)


def never_said(cloud: CloudRows) -> None:
    """A mapping from a release that did not record whether the server was deleted."""
    _mapped(cloud, queued=None)


def not_scheduled(cloud: CloudRows) -> None:
    """A server that was not scheduled: its mapping names no cell."""
    _mapped(cloud, cell=None)


def young(cloud: CloudRows) -> None:
    """Half an hour ago: a build whose conductor is slow."""
    _mapped(cloud, age=1800)


def being_built(cloud: CloudRows) -> None:
    """A server with a build request, and no row in any cell yet."""
    cloud.pick("unscheduled")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "queued": queued,
    "never_said": never_said,
    "not_scheduled": not_scheduled,
    "young": young,
    "being_built": being_built,
}
