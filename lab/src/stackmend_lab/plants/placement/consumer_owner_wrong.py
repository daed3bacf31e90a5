# SPDX-License-Identifier: Apache-2.0
"""Allocations that are recorded for another project (catalogue E9)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD, new_consumer


def _give(cloud: CloudRows, server: Server, number: int) -> dict[str, Any]:
    cloud.update("placement", "consumers", {"uuid": server.uuid}, project_id=number)
    return {"server": server.uuid}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """placement-manage made the consumer of an old allocation, for a project that does not exist."""
    server = cloud.pick("active")
    known = cloud.rows("placement", "SELECT id FROM projects WHERE external_id LIKE '00000000-%'")
    incomplete = "00000000-0000-0000-0000-000000000000"
    number = known[0]["id"] if known else cloud.insert("placement", "projects", external_id=incomplete)
    return _give(cloud, server, int(number))


def given_away(cloud: CloudRows) -> dict[str, Any]:
    """The server was given to another project by SQL."""
    server = cloud.pick("stopped")
    sql = "SELECT MIN(id) AS id FROM projects WHERE external_id <> :p AND external_id NOT LIKE '00000000-%'"
    return _give(cloud, server, int(cloud.rows("placement", sql, {"p": server.project_id})[0]["id"]))


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"given_away": given_away}


def of_others(cloud: CloudRows) -> None:
    """The consumer of another service belongs to a project of its own."""
    new_consumer(cloud, str(uuid.uuid4()), 1, kind="LICENSE_SERVER", age=OLD)


def right(cloud: CloudRows) -> None:
    """A server whose consumer belongs to its project."""
    cloud.pick("active")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"of_others": of_others, "right": right}
