# SPDX-License-Identifier: Apache-2.0
"""Cells that are mapped to the queue of another one (catalogue C14).

The cells of a healthy cloud have one RabbitMQ, each with a virtual host of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows

_ZEROS = "00000000-0000-0000-0000-000000000000"


def _url(cloud: CloudRows, cell: str) -> str:
    sql = "SELECT transport_url FROM cell_mappings WHERE name = :n"
    return str(cloud.rows("nova_api", sql, {"n": cell})[0]["transport_url"])


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The URL of the first cell was copied, with another account."""
    url = _url(cloud, "cell1").replace("rabbit://openstack:", "rabbit://second:")
    cloud.update("nova_api", "cell_mappings", {"name": "cell2"}, transport_url=url)
    return {"cell": "cell2"}


NOT_REPAIRED = {"plant": "nova-manage cell_v2 update_cell"}


def without_queue(cloud: CloudRows) -> None:
    """cell0 has no hosts: its transport URL is any, even that of another cell."""
    cloud.update("nova_api", "cell_mappings", {"uuid": _ZEROS}, transport_url=_url(cloud, "cell1"))


def disabled(cloud: CloudRows) -> None:
    """The scheduler leaves out a disabled cell; its servers are as healthy as before."""
    cloud.update("nova_api", "cell_mappings", {"name": "cell2"}, disabled=1)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "without_queue": without_queue,
    "disabled": disabled,
}
