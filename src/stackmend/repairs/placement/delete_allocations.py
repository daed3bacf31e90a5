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

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import BumpRow, DeleteRow, ExpectNone, Risk, Step


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database; nothing where the consumer holds nothing any more."""
    consumer = target["consumer"]
    allocations = live.rows("placement", "allocations", {"consumer_id": consumer})
    if not allocations:
        return
    for cell in live.cells():
        yield ExpectNone(database=cell_database(cell), table="instances", where={"uuid": consumer, "deleted": 0})
    yield ExpectNone(database="nova_api", table="build_requests", where={"instance_uuid": consumer})
    for row in allocations:
        yield DeleteRow(database="placement", table="allocations", pk={"id": row["id"]}, before=row)
    for row in live.rows("placement", "consumers", {"uuid": consumer}):
        yield DeleteRow(database="placement", table="consumers", pk={"id": row["id"]}, before=row)
    for provider in sorted({int(str(row["resource_provider_id"])) for row in allocations}):
        yield BumpRow(database="placement", table="resource_providers", pk={"id": provider}, column="generation")


REPAIR = Repair(
    name="delete-allocations",
    risk=Risk.SAFE,
    resource="consumer",
    checks=("allocation-orphan",),
    strategies={"db": db},
)
