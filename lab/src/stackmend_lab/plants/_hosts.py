# SPDX-License-Identifier: Apache-2.0
"""Compute hosts without servers, for plants about hosts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from stackmend_lab.cloud import CloudRows

OLD = 30 * 86400
#: age of a heartbeat that is fresh however long a busy machine takes until it is judged
ALIVE = -1800


@dataclass(frozen=True, slots=True)
class Host:
    """A compute host of a cell, with what belongs to it."""

    name: str
    cell: str
    node: str  #: UUID of its compute node and provider
    node_id: int
    provider: int

    @property
    def database(self) -> str:
        """Name of the database its rows are in."""
        return f"cell:{self.cell}"


def new_host(cloud: CloudRows, cell: str = "cell1", age: float = OLD, *, mapped: bool = True) -> Host:
    """A healthy host without servers: service, compute node, mapping, and provider with inventories."""
    node = str(uuid.uuid4())
    name, database = f"spare-{node}", f"cell:{cell}"
    sql = "SELECT * FROM {} WHERE host = (SELECT MIN(host) FROM compute_nodes WHERE hypervisor_type = 'QEMU')"
    numbers = {}
    for table, own in (
        ("services", {"uuid": str(uuid.uuid4())}),
        ("compute_nodes", {"uuid": node, "hypervisor_hostname": name, "mapped": int(mapped)}),
    ):
        like = cloud.rows(database, sql.format(table) + " AND deleted = 0")[0]
        row = {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in like.items() if k != "id"}
        numbers[table] = cloud.insert(database, table, **{**row, **own, "host": name, "created_at": cloud.ago(age)})
    if mapped:
        map_host(cloud, name, cell)
    provider = cloud.insert(
        "placement", "resource_providers", uuid=node, name=name, generation=1, created_at=cloud.ago(age)
    )
    cloud.update("placement", "resource_providers", {"id": provider}, root_provider_id=provider)
    for kind, total in ((1, 64), (2, 512000), (3, 20000)):
        inventory(cloud, provider, kind, total)
    return Host(name, cell, node, int(numbers["compute_nodes"]), int(provider))


def map_host(cloud: CloudRows, host: str, cell: str) -> None:
    """Insert the mapping of a host."""
    number = cloud.rows("nova_api", "SELECT id FROM cell_mappings WHERE name = :n", {"n": cell})[0]["id"]
    cloud.insert("nova_api", "host_mappings", host=host, cell_id=number)


def inventory(cloud: CloudRows, provider: int, kind: int, total: int) -> None:
    """Insert the inventory of one resource class."""
    cloud.insert(
        "placement", "inventories", resource_provider_id=provider, resource_class_id=kind, total=total, reserved=0,
        min_unit=1, max_unit=total, step_size=1, allocation_ratio=1.0,
    )  # fmt: skip


def mark_deleted(cloud: CloudRows, host: Host, *tables: str) -> None:
    """Mark the host's rows in these tables deleted, as Nova does."""
    for table in tables:
        for row in cloud.rows(host.database, f"SELECT id FROM {table} WHERE host = :h", {"h": host.name}):
            cloud.update(host.database, table, {"id": row["id"]}, deleted=row["id"], deleted_at=cloud.ago(86400))


def without_provider(cloud: CloudRows, host: Host) -> None:
    """Delete the host's provider with its inventories."""
    cloud.delete("placement", "inventories", {"resource_provider_id": host.provider})
    cloud.update("placement", "resource_providers", {"id": host.provider}, root_provider_id=None)
    cloud.delete("placement", "resource_providers", {"id": host.provider})


def resource_class(cloud: CloudRows, name: str) -> int:
    """``resource_classes.id`` of a class, which is inserted if Placement does not know it yet."""
    known = cloud.rows("placement", "SELECT id FROM resource_classes WHERE name = :n", {"n": name})
    return int(known[0]["id"] if known else cloud.insert("placement", "resource_classes", name=name))
