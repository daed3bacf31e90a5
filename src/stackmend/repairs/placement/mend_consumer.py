# SPDX-License-Identifier: Apache-2.0
"""Make a consumer and its allocations belong together.

## What it does
Deletes allocations on providers that do not exist, and a consumer that is left without allocations. For allocations
without a consumer it creates that of a live server, with the server's project and user; if no server or migration in
progress has that id, it deletes the allocations and increments the generation of each provider.

## Guards
Every cell is checked again, at the time of writing, before allocations are deleted as nobody's. Each row must be
unchanged since the plan.

## Undo
The rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, ExpectRow, Record, Risk, Step
from stackmend.repairs.common import no_such_server
from stackmend.repairs.deletion import removed
from stackmend.repairs.placement.create_allocation import consumer_row
from stackmend.repairs.placement.delete_allocations import counted
from stackmend.tables.views import TERMINAL


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database; none if nothing is wrong with the consumer."""
    name = str(target["consumer"])
    held = live.rows("placement", "allocations", {"consumer_id": name})
    known = live.rows("placement", "consumers", {"uuid": name})
    numbers = sorted({int(str(row["resource_provider_id"])) for row in held})
    there = {row["id"] for row in live.rows("placement", "resource_providers", {"id": numbers})} if held else set()
    lost = [row for row in held if row["resource_provider_id"] not in there]
    for row in lost:
        provider = {"id": row["resource_provider_id"]}
        yield ExpectNone(database="placement", table="resource_providers", where=provider)
        yield removed(live, "placement", "allocations", row)
    rest = [row for row in held if row not in lost]
    if not rest:
        for row in known:
            if not held:
                yield ExpectNone(database="placement", table="allocations", where={"consumer_id": name})
            yield removed(live, "placement", "consumers", row)
    elif not known:
        yield from _named(live, name, rest)


def _named(live: Live, name: str, held: list[Record]) -> Iterator[Step]:
    """Create the consumer of a live server; delete the allocations of nobody."""
    for cell in live.cells():
        database = cell_database(cell)
        for server in live.rows(database, "instances", {"uuid": name, "deleted": 0}):
            names = ("uuid", "deleted", "project_id", "user_id")
            expect = {column: server[column] for column in names}
            yield ExpectRow(database=database, table="instances", pk={"id": server["id"]}, expect=expect)
            yield consumer_row(live, server, live.now())
            return
        for move in live.rows(database, "migrations", {"uuid": name, "deleted": 0}):
            if move["status"] not in TERMINAL:
                raise CannotRepair(f"migration {name} is in progress ({move['status']}): repair or end it first")
    if any(not row["queued_for_delete"] for row in live.rows("nova_api", "instance_mappings", {"instance_uuid": name})):
        raise CannotRepair(
            f"nova_api shows server {name} as alive, but no cell has a row of it: see 'stackmend check show"
            " instance-mapping-without-server'"
        )
    yield from no_such_server(live, name)
    for row in held:
        yield removed(live, "placement", "allocations", row)
    yield from counted(row["resource_provider_id"] for row in held)


REPAIR = Repair(
    name="mend-consumer",
    risk=Risk.SAFE,
    removes={
        "allocations": "their provider does not exist, or no cell has a server with that id",
        "consumers": "it has no allocations, so Placement itself would have deleted it",
    },
    resource="consumer",
    checks=("allocation-consumer-broken",),
    strategies={"db": db},
    no_api="Placement's API neither shows nor changes allocations whose consumer or provider has no row",
)
