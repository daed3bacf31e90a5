# SPDX-License-Identifier: Apache-2.0
"""Remove a host that does not exist from a host aggregate.

## What it does
Deletes the row in `nova_api.aggregate_hosts`.

## Guards
No cell has a nova-compute, a compute node or a server of that host, which is checked again at the time of writing.

## Undo
The row is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, Record, Risk, Step
from stackmend.model.values import whole
from stackmend.repairs.deletion import removed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the API database; none if the host is no member any more."""
    host, number = str(target["host"]), whole(target["aggregate_id"])
    rows = live.rows("nova_api", "aggregate_hosts", {"host": host, "aggregate_id": number})
    if not rows:
        return
    yield from no_such_host(live, host)
    for row in rows:
        yield removed(live, "nova_api", "aggregate_hosts", row)


def no_such_host(live: Live, host: str) -> Iterator[Step]:
    """Guards: no cell has a compute service, a compute node or a server of the host; CannotRepair if one has."""
    here: Record = {"host": host, "deleted": 0}
    for cell in live.cells():
        for table, where in (
            ("services", {**here, "binary": "nova-compute"}),
            ("compute_nodes", here),
            ("instances", here),
        ):
            if live.rows(cell_database(cell), table, where):
                raise CannotRepair(f"{cell} has rows of host {host} in {table}: it is no leftover")
            yield ExpectNone(database=cell_database(cell), table=table, where=where)


REPAIR = Repair(
    name="drop-aggregate-host",
    risk=Risk.SAFE,
    removes={"aggregate_hosts": "no cell has a nova-compute, a compute node or a server of that host"},
    resource="host",
    checks=("aggregate-host-orphan",),
    strategies={"db": db},
    no_api="Nova's API removes only hosts from an aggregate that have a compute service",
)
