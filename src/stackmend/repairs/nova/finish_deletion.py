# SPDX-License-Identifier: Apache-2.0
"""Finish the deletion of a server as Nova would have done.

## What it does
Marks the child rows that are still live deleted, each with its own id; deletes tags, console tokens and share mappings;
frees PCI devices; corrects state, times and deletion mark of the server's row; queues the mapping for deletion. The
history of instance actions stays, as in Nova.

## Guards
The row is still marked deleted and unchanged since the plan.

## Undo
All rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectRow, Risk, Step
from stackmend.repairs.deletion import children, mapping, mark
from stackmend.repairs.sighted import guest_runs


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell, then on the API database; none if the deletion is complete."""
    database = cell_database(str(target["cell"]))
    row = live.row(database, "instances", {"uuid": str(target["server"])})
    if row is None:
        return
    if not row["deleted"]:
        raise CannotRepair(f"server {target['server']} is no longer marked deleted")
    yield ExpectRow(
        database=database,
        table="instances",
        pk={"id": row["id"]},
        expect={"uuid": row["uuid"], "deleted": row["deleted"]},
    )
    yield from children(live, database, str(row["uuid"]), str(row["deleted_at"] or live.now()))
    yield from mark(live, database, row, live.now())
    alive = [
        cell
        for cell in live.cells()
        if live.rows(cell_database(cell), "instances", {"uuid": row["uuid"], "deleted": 0})
    ]
    if not alive:
        yield from mapping(live, str(row["uuid"]))


REPAIR = Repair(
    name="finish-deletion",
    risk=Risk.UNSAFE,
    checks=("server-deleted-incompletely",),
    unless=guest_runs,
    strategies={"db": db},
    no_api="no API shows a server that is marked deleted",
    why="Nova then sees the deletion: if the row has cleaned = 0, the host removes the server's disks",
)
