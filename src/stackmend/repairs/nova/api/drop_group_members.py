# SPDX-License-Identifier: Apache-2.0
"""Delete members of a server group that do not exist, or that it has twice.

## What it does
Deletes the rows of a server that no cell has from the group; of a server that exists, all but the oldest.

## Guards
For a server that does not exist, every cell and the build requests are checked again at the time of writing. Each row
must be unchanged since the plan; the row that stays must still be there.

## Undo
The rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectRow, Risk, Step, Values
from stackmend.model.values import whole
from stackmend.repairs.common import no_such_server
from stackmend.repairs.deletion import removed

_TABLE = "instance_group_member"


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the API database; none if there is nothing to delete."""
    server = str(target["server"])
    where: Values = {"instance_uuid": server, "group_id": whole(target["group_id"])}
    rows = sorted(live.rows("nova_api", _TABLE, where), key=lambda row: whole(row["id"]))
    known = any(live.rows(cell_database(cell), "instances", {"uuid": server}) for cell in live.cells())
    mappings = live.rows("nova_api", "instance_mappings", {"instance_uuid": server})
    known = known or any(row["cell_id"] is not None and not row["queued_for_delete"] for row in mappings)
    known = known or bool(live.rows("nova_api", "build_requests", {"instance_uuid": server}))
    surplus = rows[1:] if known else rows
    if not surplus:
        return
    if known:
        yield ExpectRow(database="nova_api", table=_TABLE, pk={"id": rows[0]["id"]}, expect=where)
    else:
        yield from no_such_server(live, server)
    for row in surplus:
        yield removed(live, "nova_api", _TABLE, row)


REPAIR = Repair(
    name="drop-group-members",
    risk=Risk.SAFE,
    removes={"instance_group_member": "no cell has the server, or an older row says the same"},
    checks=("server-group-orphan-member",),
    strategies={"db": db},
    no_api="no API shows or removes such members; archiving removes those of servers that it archives",
)
