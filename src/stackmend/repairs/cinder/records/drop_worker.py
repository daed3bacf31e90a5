# SPDX-License-Identifier: Apache-2.0
"""Delete Cinder's record of work on a volume or snapshot.

## What it does
Deletes the row in `workers`.

## Guards
The volume or snapshot has another status than the record, or is deleted, which is checked again when the row is
deleted. The record is unchanged since the plan.

## Undo
The row is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import DeleteRow, ExpectNone, Record, Risk, Step

_TABLES = {"volume": "volumes", "snapshot": "snapshots"}


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the record is gone."""
    row: Record | None = live.row("cinder", "workers", {"id": int(str(target["worker"]))})
    if row is None:
        return
    table = _TABLES.get(str(row["resource_type"]).lower())
    if table is None:
        raise CannotRepair(f"record {row['id']} is of type {row['resource_type']}, which is not known here")
    same: Record = {"id": row["resource_id"], "status": row["status"], "deleted": 0}
    if live.rows("cinder", table, same):
        raise CannotRepair(f"{target['kind']} {row['resource_id']} is {row['status']}: a service may work on it")
    yield ExpectNone(database="cinder", table=table, where=same)
    yield DeleteRow(database="cinder", table="workers", pk={"id": row["id"]}, before=row)


REPAIR = Repair(
    name="drop-worker",
    risk=Risk.SAFE,
    removes={"workers": "it says that a service works on the object in a status that the object does not have"},
    resource="volume",
    checks=("cinder-worker-stale",),
    strategies={"db": db},
    no_api="Cinder's clean-up (POST /workers/cleanup) acts on the objects of such records, not on the records alone",
)
