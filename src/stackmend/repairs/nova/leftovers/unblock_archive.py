# SPDX-License-Identifier: Apache-2.0
"""Remove what keeps a deleted server from being archived.

## What it does
Sets `instance_uuid` of the server's rows in `fixed_ips` to NULL, and deletes its rows in `consoles`.

## Guards
The server is still marked deleted; the rows are unchanged since the plan.

## Undo
The rows are restored, including what the journal keeps sealed of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectRow, Record, Risk, Step
from stackmend.repairs.common import change
from stackmend.repairs.deletion import removed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if no row refers to it."""
    database = cell_database(str(target["cell"]))
    row = live.row(database, "instances", {"uuid": str(target["server"])})
    if row is None:
        return
    if not row["deleted"]:
        raise CannotRepair(f"server {target['server']} is no longer marked deleted")
    of_it: Record = {"instance_uuid": row["uuid"]}
    found = {
        table: live.rows(database, table, of_it) if live.columns(database, table) else []
        for table in ("fixed_ips", "consoles")
    }
    if any(found.values()):
        expect = {"uuid": row["uuid"], "deleted": row["deleted"]}
        yield ExpectRow(database=database, table="instances", pk={"id": row["id"]}, expect=expect)
    for address in found["fixed_ips"]:
        yield change(live, database, "fixed_ips", address, {"instance_uuid": None}, ("address",))
    for console in found["consoles"]:
        yield removed(live, database, "consoles", console)


REPAIR = Repair(
    name="unblock-archive",
    risk=Risk.SAFE,
    removes={
        "fixed_ips.instance_uuid": "nothing reads this table any more, and the server is deleted",
        "consoles": "nothing reads this table any more, and the server is deleted",
    },
    checks=("archive-blocked",),
    strategies={"db": db},
    no_api="no API shows rows of tables that Nova no longer uses",
)
