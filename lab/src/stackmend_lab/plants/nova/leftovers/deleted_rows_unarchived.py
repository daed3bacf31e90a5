# SPDX-License-Identifier: Apache-2.0
"""Rows of deleted servers that nobody archives (catalogue B5)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._growth import DAY, LONG, MANY, many

CELL = "cell:cell1"


def _detached(cloud: CloudRows, age: float, number: int = MANY) -> None:
    """Mappings of volumes that were attached to a living server, and detached again."""
    server = cloud.rows(CELL, "SELECT uuid FROM instances WHERE deleted = 0 ORDER BY id")[0]["uuid"]
    first = many(
        cloud, CELL, "block_device_mapping", number, instance_uuid=server, source_type="volume",
        destination_type="volume", device_name="/dev/vdz", volume_id=str(uuid.uuid4()), boot_index=-1,
        delete_on_termination=0, deleted=-1, created_at=cloud.ago(age + DAY), deleted_at=cloud.ago(age),
    )  # fmt: skip
    cloud.execute(CELL, "UPDATE block_device_mapping SET deleted = id WHERE id >= :f AND deleted = -1", {"f": first})


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Somebody attached a volume every night, and detached it, until nobody archived any more."""
    _detached(cloud, LONG)
    return {"cell": "cell1"}


def ids(cloud: CloudRows) -> dict[str, Any]:
    """The EC2 ids of servers that were removed by hand, in another cell."""
    gone, cell = cloud.ago(LONG), "cell:cell2"
    first = many(
        cloud, cell, "instance_id_mappings", uuid=str(uuid.uuid4()), deleted=-1, created_at=gone, deleted_at=gone
    )
    cloud.execute(cell, "UPDATE instance_id_mappings SET deleted = id WHERE id >= :f AND deleted = -1", {"f": first})
    return {"cell": "cell2"}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"ids": ids}
NOT_REPAIRED = {
    "plant": "nova-manage db archive_deleted_rows --all-cells",
    "ids": "nova-manage db archive_deleted_rows --all-cells",
}


def lately(cloud: CloudRows) -> None:
    """As many, deleted within the last months: the timer archives what is older."""
    _detached(cloud, 90 * DAY)


def a_few(cloud: CloudRows) -> None:
    """A hundred of old: a small cloud, or rows that the last run has left."""
    _detached(cloud, LONG, 100)


def soft_deleted(cloud: CloudRows) -> None:
    """A server that its owner can still restore is not marked deleted in its row, however old."""
    server = cloud.pick("soft_deleted")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, deleted_at=cloud.ago(LONG))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "lately": lately,
    "a_few": a_few,
    "soft_deleted": soft_deleted,
}
