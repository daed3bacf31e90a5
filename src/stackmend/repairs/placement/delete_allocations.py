# SPDX-License-Identifier: Apache-2.0
"""Remove the allocations of a consumer that is gone.

## What it does
Deletes the allocations of the consumer, then the consumer itself, and counts on the generation of each provider
touched, as Placement does (rule RW7).

## Guards
Every cell is asked once more, in the moment of writing, that no live server and no build request bears that uuid;
each row must still read as planned, the consumer's generation among them.

## Undo
The rows are put back as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import Repair
from stackmend.model.step import BumpRow, DeleteRow, Risk, Step, Value
from stackmend.repairs.common import no_such_server


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
    resource="consumer",
    checks=("allocation-orphan",),
    strategies={"db": db},
)
