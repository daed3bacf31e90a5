# SPDX-License-Identifier: Apache-2.0
"""Delete the build request of a server that is in a cell.

## What it does
Deletes the row in `nova_api.build_requests`, as Nova does once the server is in a cell.

## Guards
The cell that the server's mapping names has a row of the server; both are unchanged since the plan.

## Undo
The row is restored, including what the journal keeps sealed of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectRow, Risk, Step
from stackmend.repairs.deletion import removed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the API database; none if the request is gone."""
    name = str(target["server"])
    requests = live.rows("nova_api", "build_requests", {"instance_uuid": name})
    if not requests:
        return
    mapping = live.row("nova_api", "instance_mappings", {"instance_uuid": name})
    if mapping is None or mapping["cell_id"] is None:
        raise CannotRepair(f"nova_api maps server {name} to no cell: repair that first (server-without-mapping)")
    found = [
        (cell_database(cell), row)
        for cell in live.cells()
        for row in live.rows(cell_database(cell), "instances", {"uuid": name})
    ]
    if not found:
        raise CannotRepair(f"no cell has server {name}: 'openstack server delete {name}' deletes the request")
    for database, row in found:
        expect = {column: row[column] for column in ("uuid", "deleted")}
        yield ExpectRow(database=database, table="instances", pk={"id": row["id"]}, expect=expect)
    expect = {column: mapping[column] for column in ("instance_uuid", "cell_id")}
    yield ExpectRow(database="nova_api", table="instance_mappings", pk={"id": mapping["id"]}, expect=expect)
    for row in requests:
        yield removed(live, "nova_api", "build_requests", row)


REPAIR = Repair(
    name="drop-build-request",
    risk=Risk.SAFE,
    removes={"build_requests": "the server's own rows are in its cell and say all that the request did"},
    checks=("build-request-stuck",),
    codes=frozenset({"server-exists"}),
    strategies={"db": db},
    no_api="through the API, a build request can only be deleted together with its server",
)
