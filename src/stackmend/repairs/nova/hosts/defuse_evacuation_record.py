# SPDX-License-Identifier: Apache-2.0
"""End an evacuation record that names the server's own host as its source.

## What it does
Sets the status of the record to `error` if the evacuation never succeeded (`accepted`, `pre-migrating`), or to
`completed` if it did (`done`). Nothing else changes.

## Guards
The record and the host of the server are unchanged since the plan, and no rebuild is in progress on the server.

## Undo
The status is restored, and the record is dangerous again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Risk, Step
from stackmend.repairs.common import change, the_server

#: status of a record that nova-compute acts upon -> the one that ends it
_ENDS = {"accepted": "error", "pre-migrating": "error", "done": "completed"}


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if the record has ended, or names another host."""
    database, server = the_server(target, live)
    row = live.row(database, "migrations", {"id": int(str(target["record"]))})
    if row is None or str(row["status"]) not in _ENDS or row["source_compute"] != server["host"]:
        return
    if server["task_state"] is not None:
        raise CannotRepair(f"server {server['uuid']} is busy ({server['task_state']}): wait, or repair that first")
    names = ("uuid", "deleted", "host", "task_state")
    yield ExpectRow(
        database=database, table="instances", pk={"id": server["id"]}, expect={name: server[name] for name in names}
    )
    guards = ("instance_uuid", "source_compute", "migration_type", "deleted")
    yield change(live, database, "migrations", row, {"status": _ENDS[str(row["status"])]}, guards)


REPAIR = Repair(
    name="defuse-evacuation-record",
    risk=Risk.UNSAFE,
    checks=("evacuation-record-time-bomb",),
    strategies={"db": db},
    no_api="no API changes a record of an evacuation",
    why="if the guest runs on the destination after all, nothing removes the stale copy on the source any more",
)
