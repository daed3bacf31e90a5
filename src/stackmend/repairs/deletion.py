# SPDX-License-Identifier: Apache-2.0
"""The row changes Nova makes when a server is deleted, in Nova's order (services 1.1, B4, RW4)."""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.protocols import Live
from stackmend.model.step import DeleteRow, Record, Step, Values
from stackmend.repairs.common import change, marked_deleted
from stackmend.tables.nova import HARD_CHILDREN, SOFT_CHILDREN

#: soft-deleted with the server as well (table -> column with its UUID), but not covered by any check: a fault may be
#: written after the deletion. Without the row in instance_id_mappings marked, the archived server leaves it behind
_QUIET_CHILDREN = {"instance_faults": "instance_uuid", "instance_id_mappings": "uuid"}


def children(live: Live, database: str, server: str, now: str) -> Iterator[Step]:
    """Mark the live children deleted, delete those without a deletion mark, and free PCI devices."""
    for table, column in (dict.fromkeys(SOFT_CHILDREN, "instance_uuid") | _QUIET_CHILDREN).items():
        if live.columns(database, table):
            for row in live.rows(database, table, {column: server, "deleted": 0}):
                yield marked_deleted(live, database, table, row, at=now)
    for table, (_, column) in HARD_CHILDREN.items():
        if live.columns(database, table):
            for row in live.rows(database, table, {column: server}):
                yield removed(live, database, table, row)
    yield from pci_given_back(live, database, server)


def pci_given_back(live: Live, database: str, server: str) -> Iterator[Step]:
    """Make PCI devices of the server available."""
    for device in live.rows(database, "pci_devices", {"instance_uuid": server, "deleted": 0}):
        after: Values = {"status": "available", "instance_uuid": None, "request_id": None}
        yield change(live, database, "pci_devices", device, after)


def mark(live: Live, database: str, row: Record, now: str, cleaned: bool | None = None) -> Iterator[Step]:
    """The server's own row. ``cleaned``: whether its files are removed from the host; None leaves it (RW9)."""
    deleted_at = row["deleted_at"] or now
    after: Record = {"deleted": row["id"], "deleted_at": deleted_at}
    if row["host"] is not None:
        # Nova does this only for servers that had a host
        ended = row["terminated_at"] or (deleted_at if row["launched_at"] else None)
        after |= {"vm_state": "deleted", "task_state": None, "power_state": 0, "terminated_at": ended}
    if cleaned is not None:
        after["cleaned"] = int(cleaned)
    changed = {name: value for name, value in after.items() if row[name] != value}
    if changed:
        yield change(live, database, "instances", row, changed, ("uuid", "deleted"))


def mapping(live: Live, server: str) -> Iterator[Step]:
    """The API database: the mapping is queued for deletion, and a build request is deleted."""
    for row in live.rows("nova_api", "instance_mappings", {"instance_uuid": server}):
        if row["queued_for_delete"] != 1:
            yield change(live, "nova_api", "instance_mappings", row, {"queued_for_delete": 1})
    for row in live.rows("nova_api", "build_requests", {"instance_uuid": server}):
        yield removed(live, "nova_api", "build_requests", row)


def removed(live: Live, database: str, table: str, row: Record) -> DeleteRow:
    """Delete one row; the runner seals its secrets."""
    key = {name: row[name] for name in live.key(database, table)}
    return DeleteRow(database=database, table=table, pk=key, before=row)
