# SPDX-License-Identifier: Apache-2.0
"""Record a server's allocation for the project and user that the server belongs to.

## What it does
Sets project and user of the consumer, and increments its generation, as Placement does.

## Guards
The server's project and user, and the consumer, are unchanged since the plan. Refused if Placement does not know the
project or user yet.

## Undo
The old owner is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import Repair
from stackmend.model.step import BumpRow, ExpectRow, Risk, Step
from stackmend.repairs.common import change, the_server
from stackmend.repairs.placement.create_allocation import owner


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database; none if the owner is right."""
    database, server = the_server(target, live)
    consumer = live.row("placement", "consumers", {"uuid": server["uuid"]})
    if consumer is None:
        return
    wanted = {name: value for name, value in owner(live, server).items() if consumer[name] != value}
    if not wanted:
        return
    names = ("uuid", "deleted", "project_id", "user_id")
    yield ExpectRow(
        database=database, table="instances", pk={"id": server["id"]}, expect={name: server[name] for name in names}
    )
    yield change(live, "placement", "consumers", consumer, wanted, ("uuid", "project_id", "user_id"))
    yield BumpRow(database="placement", table="consumers", pk={"id": consumer["id"]}, column="generation")


REPAIR = Repair(
    name="correct-consumer-owner",
    risk=Risk.SAFE,
    removes={
        "consumers.project_id": "the server's own row says to which project it belongs",
        "consumers.user_id": "the server's own row says who created it",
    },
    checks=("consumer-owner-wrong",),
    strategies={"db": db},
    no_api="Placement changes the owner only together with the allocations: 'nova-manage placement heal_allocations'",
)
