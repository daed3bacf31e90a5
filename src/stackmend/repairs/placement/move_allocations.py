# SPDX-License-Identifier: Apache-2.0
"""Charge a server's capacity to the host it is on.

## What it does
Where the server holds capacity of its own host as well, what it holds of the other one is given back. Where it holds
capacity of the wrong host alone, each row is moved to the right provider. The generations of the providers and of the
consumer are counted on.

## Guards
The server is idle and on that host; the rows read as planned. Trees with nested providers (VGPU, bandwidth, PCI) are
left alone: which child is the right one only Nova knows (`nova-manage placement heal_allocations`).

## Undo
The rows are put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import BumpRow, DeleteRow, Risk, Step, Values
from stackmend.repairs.common import Record, change, idle, the_server
from stackmend.repairs.placement.delete_allocations import counted


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database."""
    database, server = the_server(target, live)
    node = live.row(
        database, "compute_nodes", {"host": server["host"], "hypervisor_hostname": server["node"], "deleted": 0}
    )
    if node is None:
        raise CannotRepair(f"server {server['uuid']} is on no compute node: see to that first")
    yield from idle(live, database, server)
    yield from moved(live, server, str(node["uuid"]), str(target["wrong_provider"]))


def moved(live: Live, server: Record, right: str, wrong: str) -> Iterator[Step]:
    """Steps that take the server's allocation off the tree of one provider; onto another where it has none there."""
    roots = {p["uuid"]: p for p in live.rows("placement", "resource_providers", {"uuid": [right, wrong]})}
    if right not in roots or wrong not in roots:
        raise CannotRepair(f"placement has no provider {right if right not in roots else wrong}")
    held = live.rows("placement", "allocations", {"consumer_id": server["uuid"]})
    there = _of_tree(live, held, roots[wrong])
    if not there:
        return
    if _of_tree(live, held, roots[right]):
        for row in there:
            yield DeleteRow(database="placement", table="allocations", pk={"id": row["id"]}, before=row)
        yield from counted(row["resource_provider_id"] for row in there)
    else:
        if any(row["resource_provider_id"] != roots[wrong]["id"] for row in there):
            raise CannotRepair(
                f"the allocation of {server['uuid']} is nested: use nova-manage placement heal_allocations"
            )
        for row in there:
            after: Values = {"resource_provider_id": roots[right]["id"]}
            yield change(live, "placement", "allocations", row, after, ("used",))
        yield from counted([roots[wrong]["id"], roots[right]["id"]])
    for consumer in live.rows("placement", "consumers", {"uuid": server["uuid"]}):
        yield BumpRow(database="placement", table="consumers", pk={"id": consumer["id"]}, column="generation")


def _of_tree(live: Live, held: list[Record], root: Record) -> list[Record]:
    members = {p["id"] for p in live.rows("placement", "resource_providers", {"root_provider_id": root["id"]})}
    return [row for row in held if row["resource_provider_id"] in members]


REPAIR = Repair(
    name="move-allocations",
    risk=Risk.SAFE,
    checks=("allocation-wrong-provider",),
    strategies={"db": db},
)
