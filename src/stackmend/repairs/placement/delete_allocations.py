# SPDX-License-Identifier: Apache-2.0
"""Remove the allocations of a consumer that is gone.

## What it does
Deletes the allocations of the consumer, then the consumer itself, and counts on the generation of each provider
touched, as Placement does (rule RW7). By the API Placement does all of that at the word of the consumer's
generation: it refuses where anybody has touched the consumer since.

## Guards
Every cell is asked once more, in the moment of writing, that no live server and no build request bears that uuid;
each row must still read as planned, the consumer's generation among them.

## Undo
The rows are put back as they were. By the API the consumer gets the same allocations again, and its type is unknown
then, as of a consumer from before Xena.
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
from stackmend.repairs.cinder._rows import live_server
from stackmend.repairs.common import no_such_server


def api(target: Row, live: Live) -> Iterator[Step]:
    """A call of Placement; nothing where the consumer holds nothing any more."""
    consumer = str(target["consumer"])
    if not live.rows("placement", "allocations", {"consumer_id": consumer}):
        return
    services = api_of(live, SetAllocations)
    if live_server(live, consumer) is not None:
        raise CannotRepair(f"there is a live server {consumer}")
    found = calls.allocations(services, consumer)
    calls.nobody(found, consumer)
    if found["allocations"]:
        yield calls.allocations_set(consumer, {}, found, ("server",))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database; nothing where the consumer holds nothing any more."""
    consumer = str(target["consumer"])
    if live.rows("placement", "allocations", {"consumer_id": consumer}):
        yield from no_such_server(live, consumer)
        yield from removed_allocations(live, consumer)


def removed_allocations(live: Live, consumer: str) -> Iterator[Step]:
    """Steps that take everything from a consumer, and the consumer with it (RW7)."""
    allocations = live.rows("placement", "allocations", {"consumer_id": consumer})
    for row in allocations:
        yield DeleteRow(database="placement", table="allocations", pk={"id": row["id"]}, before=row)
    for row in live.rows("placement", "consumers", {"uuid": consumer}):
        yield DeleteRow(database="placement", table="consumers", pk={"id": row["id"]}, before=row)
    yield from counted(row["resource_provider_id"] for row in allocations)


def counted(providers: Iterable[Value]) -> Iterator[Step]:
    """Count on the generation of each provider whose allocations were changed."""
    for provider in sorted({int(str(p)) for p in providers}):
        yield BumpRow(database="placement", table="resource_providers", pk={"id": provider}, column="generation")


REPAIR = Repair(
    name="delete-allocations",
    risk=Risk.SAFE,
    removes={
        "allocations": "no cell has a live server of that id: nobody uses what is booked",
        "consumers": "goes with its last allocation, as in Placement",
    },
    resource="consumer",
    checks=("allocation-orphan",),
    strategies={"api": api, "db": db},
)
