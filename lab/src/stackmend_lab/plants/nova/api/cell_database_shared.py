# SPDX-License-Identifier: Apache-2.0
"""Cells that are mapped to the database of another one (catalogue C14)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows


def _mapping(cloud: CloudRows, cell: str) -> dict[str, Any]:
    return cloud.rows("nova_api", "SELECT * FROM cell_mappings WHERE name = :n", {"n": cell})[0]


def _again(cloud: CloudRows, cell: str) -> tuple[str, int]:
    """Map the database of a cell once more, with another account and another queue; (uuid, id) of the mapping."""
    url = re.sub("://[^@/]*@", "://second:of-the-second@", _mapping(cloud, cell)["database_connection"])
    own = str(uuid.uuid4())
    number = cloud.insert(
        "nova_api", "cell_mappings", uuid=own, name=f"again-{own[:8]}", database_connection=url, disabled=0,
        transport_url=f"rabbit://openstack:rabbit-secret@mq:5672/again-{own[:8]}",
    )  # fmt: skip
    return own, int(number)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A cell was mapped again after its queue had got another name, and the old mapping was left."""
    return {"uuid": _again(cloud, "cell1")[0]}


def used(cloud: CloudRows) -> dict[str, Any]:
    """A host was discovered, and a server built, under the second mapping."""
    own, number = _again(cloud, "cell1")
    # the newest: nothing else is wrong with it
    servers = cloud.rows("cell:cell1", "SELECT uuid FROM instances WHERE deleted = 0 ORDER BY id DESC LIMIT 1")
    cloud.update("nova_api", "instance_mappings", {"instance_uuid": servers[0]["uuid"]}, cell_id=number)
    cell = _mapping(cloud, "cell1")["id"]
    host = cloud.rows("nova_api", "SELECT host FROM host_mappings WHERE cell_id = :c ORDER BY id", {"c": cell})[0][
        "host"
    ]
    cloud.update("nova_api", "host_mappings", {"host": host}, cell_id=number)
    return {"uuid": own}


def with_cell0(cloud: CloudRows) -> dict[str, Any]:
    """A cell was mapped to the database of cell0, and what is there is mapped to both."""
    own, number = _again(cloud, "cell0")
    failed = cloud.rows("cell:cell0", "SELECT uuid FROM instances WHERE deleted = 0 ORDER BY id DESC LIMIT 1")
    cloud.update("nova_api", "instance_mappings", {"instance_uuid": failed[0]["uuid"]}, cell_id=number)
    return {"uuid": own}


def beside_cell0(cloud: CloudRows) -> dict[str, Any]:
    """A cell was mapped to the database of cell0, and nothing to the cell: cell0 is all right where it is."""
    return {"uuid": _again(cloud, "cell0")[0]}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "used": used,
    "with_cell0": with_cell0,
    "beside_cell0": beside_cell0,
}
NOT_REPAIRED = {
    "plant": "nova-manage cell_v2 delete_cell",
    "used": "UPDATE nova_api.instance_mappings SET cell_id",
    "with_cell0": "make a database for cell0",
    "beside_cell0": "nova-manage cell_v2 delete_cell",
}


def other_options(cloud: CloudRows) -> None:
    """Two cells with databases of one server, one of them with options in its URL, and disabled."""
    url = str(_mapping(cloud, "cell2")["database_connection"])
    if "@" in url:
        url += "&read_timeout=60" if "?" in url else "?read_timeout=60"
    cloud.update("nova_api", "cell_mappings", {"name": "cell2"}, database_connection=url, disabled=1)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"other_options": other_options}
