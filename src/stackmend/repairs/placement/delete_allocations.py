# SPDX-License-Identifier: Apache-2.0
"""Delete the allocations of a consumer that no longer exists.

## What it does
Deletes the allocations of the consumer, then the consumer itself, and increments the generation of each provider
involved, as Placement does (rule RW7). Through the API, Placement does all of that, guarded by the consumer's
generation: it refuses if anybody has changed the consumer since.

## Guards
Every cell is checked again, at the time of writing, for a live server or a build request with that uuid. Each row must
be unchanged since the plan, including the consumer's generation.

## Undo
The rows are restored. Through the API, the consumer gets the same allocations again, but its type is then unknown, like
that of a consumer from before Xena.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.placement import SetAllocations
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import BumpRow, DeleteRow, Risk, Step, Value
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of
from stackmend.repairs.common import live_server, no_such_server
from stackmend.repairs.sighted import guest_runs


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Placement; none if the consumer has no allocations left."""
    consumer = str(target["consumer"])
    if not live.rows("placement", "allocations", {"consumer_id": consumer}):
        return
    services = api_of(live, SetAllocations)
    if live_server(live, consumer) is not None:
        raise CannotRepair(f"there is a live server {consumer}")
    found = calls.allocations(services, consumer)
    calls.server_absent(found, consumer)
    if found["allocations"]:
        yield calls.allocations_set(consumer, {}, found, ("server",))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database; none if the consumer has no allocations left."""
    consumer = str(target["consumer"])
    if live.rows("placement", "allocations", {"consumer_id": consumer}):
        yield from no_such_server(live, consumer)
        yield from removed_allocations(live, consumer)


def removed_allocations(live: Live, consumer: str) -> Iterator[Step]:
    """Steps that delete all allocations of a consumer, and the consumer (RW7)."""
    allocations = live.rows("placement", "allocations", {"consumer_id": consumer})
    for row in allocations:
        yield DeleteRow(database="placement", table="allocations", pk={"id": row["id"]}, before=row)
    for row in live.rows("placement", "consumers", {"uuid": consumer}):
        yield DeleteRow(database="placement", table="consumers", pk={"id": row["id"]}, before=row)
    yield from counted(row["resource_provider_id"] for row in allocations)


def counted(providers: Iterable[Value]) -> Iterator[Step]:
    """Increment the generation of each provider whose allocations were changed."""
    for provider in sorted({int(str(p)) for p in providers}):
        yield BumpRow(database="placement", table="resource_providers", pk={"id": provider}, column="generation")


REPAIR = Repair(
    name="delete-allocations",
    risk=Risk.SAFE,
    removes={
        "allocations": "no cell has a live server with that id: nothing uses the allocation",
        "consumers": "deleted with its last allocation, as in Placement",
    },
    resource="consumer",
    checks=("allocation-orphan",),
    unless=guest_runs,
    strategies={"api": api, "db": db},
)
