# SPDX-License-Identifier: Apache-2.0
"""Set `queued_for_delete` of a mapping as the server's row implies.

## What it does
Sets the flag to 1 for a soft-deleted server, to 0 for any other live one.

## Guards
The server is still there, in the same state, and no operation is in progress on it; the mapping is unchanged.

## Undo
The flag is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.common import change, idle, the_server


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the API database; none if the flag is right."""
    database, server = the_server(target, live)
    row = live.row("nova_api", "instance_mappings", {"instance_uuid": server["uuid"]})
    if row is None:
        raise CannotRepair(f"server {server['uuid']} has no mapping: repair that first")
    right = int(server["vm_state"] == "soft-delete")
    if row["queued_for_delete"] == right:
        return
    yield from idle(live, database, server)
    yield change(live, "nova_api", "instance_mappings", row, {"queued_for_delete": right}, ("cell_id",))


REPAIR = Repair(
    name="correct-queued-for-delete",
    risk=Risk.SAFE,
    removes={"instance_mappings.queued_for_delete": "the server's own row says whether it is being deleted"},
    checks=("queued-for-delete-wrong",),
    strategies={"db": db},
    no_api="no API shows or sets whether a mapping is queued for deletion",
)
