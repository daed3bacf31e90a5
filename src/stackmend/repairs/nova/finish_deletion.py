# SPDX-License-Identifier: Apache-2.0
"""Finish the deletion of a server as Nova would have.

## What it does
Marks the children that are still live deleted, each with its own id; removes tags, console tokens and share mappings;
gives PCI devices back; puts state, times and mark of the server's row right; queues the mapping for deletion. The
record of actions stays, as it does with Nova.

## Guards
The row is still marked deleted and reads as planned.

## Undo
All rows are put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectRow, Risk, Step
from stackmend.repairs.deletion import children, mapping, mark


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell, then on the API database; nothing where the deletion is whole."""
    database = cell_database(str(target["cell"]))
    row = live.row(database, "instances", {"uuid": str(target["server"])})
    if row is None:
        return
    if not row["deleted"]:
        raise CannotRepair(f"server {target['server']} is not marked deleted any more")
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
    strategies={"db": db},
    no_api="no API shows a server that is marked deleted",
    why="Nova then sees the deletion: where the row has cleaned = 0, the host removes the disks of the server",
)
