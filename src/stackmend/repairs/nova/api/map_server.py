# SPDX-License-Identifier: Apache-2.0
"""Map a server to the cell that has it.

## What it does
Inserts the server's row in `nova_api.instance_mappings`, with its project and user, or sets the cell of a row that
names none. `queued_for_delete` is set if the server is soft-deleted.

## Guards
Exactly one cell has a live row of the server, which is unchanged since the plan. A server with a host is never mapped
to cell0.

## Undo
The row is deleted again, or loses its cell.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, ExpectRow, InsertRow, Record, Risk, Step
from stackmend.repairs.common import change, the_server


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the API database; none if the server is mapped."""
    database, server = the_server(target, live)
    name = str(server["uuid"])
    mapping = live.row("nova_api", "instance_mappings", {"instance_uuid": name})
    if mapping is not None and mapping["cell_id"] is not None:
        return
    if database == cell_database("cell0") and server["host"] is not None:
        raise CannotRepair(f"server {name} is in cell0 but has host {server['host']}: cell0 has no hosts")
    for cell in live.cells():
        if cell_database(cell) == database:
            continue
        if live.rows(cell_database(cell), "instances", {"uuid": name, "deleted": 0}):
            raise CannotRepair(f"server {name} is live in {cell} as well: find out which of the two is right")
        yield ExpectNone(database=cell_database(cell), table="instances", where={"uuid": name, "deleted": 0})
    names = ("uuid", "deleted", "host", "project_id", "user_id", "vm_state")
    yield ExpectRow(
        database=database, table="instances", pk={"id": server["id"]}, expect={name: server[name] for name in names}
    )
    cell_id = int(str(target["cell_id"]))
    if mapping is not None:
        yield change(live, "nova_api", "instance_mappings", mapping, {"cell_id": cell_id}, ("instance_uuid",))
        return
    values: Record = {
        "instance_uuid": name,
        "cell_id": cell_id,
        "project_id": server["project_id"],
        "user_id": server["user_id"],
        "queued_for_delete": int(server["vm_state"] == "soft-delete"),
        "created_at": server["created_at"],
    }
    known = live.columns("nova_api", "instance_mappings")
    yield InsertRow(
        database="nova_api",
        table="instance_mappings",
        key={"instance_uuid": name},
        values={column: value for column, value in values.items() if column in known},
    )


REPAIR = Repair(
    name="map-server",
    risk=Risk.SAFE,
    removes={"instance_mappings.cell_id": "it was empty: only one cell has the server"},
    checks=("server-without-mapping",),
    strategies={"db": db},
    no_api="no API maps servers to cells; 'nova-manage cell_v2 map_instances' does so for all servers of a cell",
)
