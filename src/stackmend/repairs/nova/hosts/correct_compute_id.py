# SPDX-License-Identifier: Apache-2.0
"""Make a server's row name the compute node that its host and node name.

## What it does
Sets `instances.compute_id` to the id of the live compute node with the server's host and node in its cell.

## Guards
The server is idle and still has that host and node; the compute node is live.

## Undo
The old id is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Risk, Step
from stackmend.repairs.common import change, idle, the_server


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if the id is right."""
    database, server = the_server(target, live)
    where = {"host": server["host"], "hypervisor_hostname": server["node"], "deleted": 0}
    node = live.row(database, "compute_nodes", where)
    if node is None:
        raise CannotRepair(f"server {server['uuid']} is on no compute node: repair that first")
    if server["compute_id"] == node["id"]:
        return
    yield from idle(live, database, server)
    yield ExpectRow(database=database, table="compute_nodes", pk={"id": node["id"]}, expect=where)
    yield change(live, database, "instances", server, {"compute_id": node["id"]}, ("host", "node"))


REPAIR = Repair(
    name="correct-compute-id",
    risk=Risk.SAFE,
    removes={"instances.compute_id": "host and node of the same row say which compute node it is"},
    checks=("server-compute-id-wrong",),
    strategies={"db": db},
    no_api="no API shows or sets it; nova-compute corrects it while it runs",
)
