# SPDX-License-Identifier: Apache-2.0
"""Make the mapping of a compute host say which cell has it.

## What it does
Inserts the row in `nova_api.host_mappings` and marks the host's compute nodes as mapped, as `nova-manage cell_v2
discover_hosts` does; sets the cell of a wrong row; or deletes the row of a host that no cell has.

## Guards
The cell's nova-compute is still registered, or no cell has a nova-compute, a compute node or a server of the host.
Refused if the cell that the row names has servers on the host.

## Undo
The rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, ExpectRow, InsertRow, Record, Risk, Step, Value
from stackmend.model.values import whole
from stackmend.repairs.common import change
from stackmend.repairs.deletion import removed
from stackmend.repairs.nova.api.drop_aggregate_host import no_such_host

_TABLE = "host_mappings"


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the API database, and on the cell of a host that is mapped for the first time."""
    host = str(target["host"])
    mapping = live.row("nova_api", _TABLE, {"host": host})
    found = {cell: row for cell in live.cells() if (row := _compute(live, cell, host)) is not None}
    if not found:
        if mapping is not None:
            yield from no_such_host(live, host)
            yield removed(live, "nova_api", _TABLE, mapping)
        return
    if len(found) > 1:
        raise CannotRepair(f"host {host} has a nova-compute in {' and '.join(sorted(found))}: repair that first")
    ((cell, service),) = found.items()
    cell_id = whole(target["cell_id"])
    if mapping is not None and whole(mapping["cell_id"]) == cell_id:
        return
    expect = {name: service[name] for name in ("host", "binary", "deleted")}
    yield ExpectRow(database=cell_database(cell), table="services", pk={"id": service["id"]}, expect=expect)
    if mapping is not None:
        yield from _no_servers(live, host, apart_from=cell)
        yield change(live, "nova_api", _TABLE, mapping, {"cell_id": cell_id}, ("host",))
        return
    values: Record = {"host": host, "cell_id": cell_id, "created_at": live.now()}
    yield InsertRow(database="nova_api", table=_TABLE, key={"host": host}, values=values)
    for node in live.rows(cell_database(cell), "compute_nodes", {"host": host, "deleted": 0}):
        if node["mapped"] == 0:
            yield change(live, cell_database(cell), "compute_nodes", node, {"mapped": 1}, ("host",))


def _compute(live: Live, cell: str, host: str) -> Record | None:
    return live.row(cell_database(cell), "services", {"host": host, "binary": "nova-compute", "deleted": 0})


def _no_servers(live: Live, host: str, apart_from: str) -> Iterator[Step]:
    """Guards: no other cell has a server on the host; CannotRepair if one has."""
    where: dict[str, Value] = {"host": host, "deleted": 0}
    for cell in live.cells():
        if cell == apart_from:
            continue
        if live.rows(cell_database(cell), "instances", where):
            raise CannotRepair(
                f"{cell} has servers on host {host}: the mapping stays until they are moved or corrected"
            )
        yield ExpectNone(database=cell_database(cell), table="instances", where=where)


REPAIR = Repair(
    name="mend-host-mapping",
    risk=Risk.SAFE,
    removes={
        "host_mappings": "no cell has a nova-compute, a compute node or a server of that host",
        "host_mappings.cell_id": "the only cell with a nova-compute of that host is the right one",
        "compute_nodes.mapped": "it says that the host is not mapped, which it is from now on",
    },
    resource="host",
    checks=("host-mapping-drift",),
    strategies={"db": db},
    no_api="no API maps hosts to cells; 'nova-manage cell_v2 discover_hosts' and 'delete_host' do",
)
