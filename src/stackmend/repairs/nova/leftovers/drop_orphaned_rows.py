# SPDX-License-Identifier: Apache-2.0
"""Remove what a cell still has of a server that no longer exists.

## What it does
Deletes the rows of the server in `tags` and, if they are expired, in `console_auth_tokens`, and marks those in
`instance_id_mappings` deleted, as Nova does when a server is deleted.

## Guards
No cell has a row of the server, not even one marked deleted; it is not being built, and nova_api maps it to no cell.

## Undo
The rows are restored, including what the journal keeps sealed of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, Record, Risk, Step
from stackmend.repairs.common import marked_deleted, moment
from stackmend.repairs.deletion import removed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell; none if nothing is left."""
    server, database = str(target["server"]), cell_database(str(target["cell"]))
    for cell in live.cells():
        if live.rows(cell_database(cell), "instances", {"uuid": server}):
            raise CannotRepair(f"{cell} has a row of server {server}: audit again")
    if live.rows("nova_api", "instance_mappings", {"instance_uuid": server, "queued_for_delete": 0}):
        raise CannotRepair(f"nova_api maps server {server} to a cell: repair that first")
    steps = list(_removals(live, database, server))
    if not steps:
        return
    for cell in live.cells():
        yield ExpectNone(database=cell_database(cell), table="instances", where={"uuid": server})
    yield ExpectNone(database="nova_api", table="build_requests", where={"instance_uuid": server})
    yield from steps


def _removals(live: Live, database: str, server: str) -> Iterator[Step]:
    now = moment(live.now()).replace(tzinfo=UTC).timestamp()
    for row in _of(live, database, "tags", {"resource_id": server}):
        yield removed(live, database, "tags", row)
    for row in _of(live, database, "console_auth_tokens", {"instance_uuid": server}):
        if int(str(row["expires"])) < now:
            yield removed(live, database, "console_auth_tokens", row)
    for row in _of(live, database, "instance_id_mappings", {"uuid": server, "deleted": 0}):
        yield marked_deleted(live, database, "instance_id_mappings", row, guards=("uuid",))


def _of(live: Live, database: str, table: str, where: Record) -> list[Record]:
    return live.rows(database, table, where) if live.columns(database, table) else []


REPAIR = Repair(
    name="drop-orphaned-rows",
    risk=Risk.SAFE,
    removes={
        "tags": "no API shows a tag of a server that no cell has",
        "console_auth_tokens": "the token has expired, and its server does not exist",
        "instance_id_mappings": "Nova marks it deleted with the server, which does not exist",
    },
    checks=("server-metadata-of-nobody",),
    strategies={"db": db},
    no_api="no API shows rows of a server that does not exist",
)
