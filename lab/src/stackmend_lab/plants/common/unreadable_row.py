# SPDX-License-Identifier: Apache-2.0
"""Rows with values that cannot be decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import write_cache


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The network cache of a server without NICs was truncated."""
    server = cloud.pick("no_nic")
    write_cache(cloud, server, '[{"id": ')
    sql = "SELECT id FROM instance_info_caches WHERE instance_uuid = :u"
    row = cloud.rows(server.database, sql, {"u": server.uuid})[0]["id"]
    return {
        "database": server.database,
        "table_name": "instance_info_caches",
        "row_key": json.dumps({"id": row}),
        "column_name": "network_info",
    }


NOT_REPAIRED = {"plant": "no repair"}


def odd_text(cloud: CloudRows) -> None:
    """Text with line feeds, tabs and separators is unusual, but readable."""
    server = cloud.pick("active")
    where = {"uuid": server.uuid}
    project = f"{server.project_id}"[:20] + "\n\t\x1f"
    cloud.update(server.database, "instances", where, project_id=project)
    owner = cloud.insert("placement", "projects", external_id=project)
    cloud.update("placement", "consumers", {"uuid": server.uuid}, project_id=owner)
    for port in server.ports:
        cloud.update("neutron", "ports", {"id": port}, project_id=f"{server.project_id}"[:20] + "\n\t\x1f")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"odd_text": odd_text}
