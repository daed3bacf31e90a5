# SPDX-License-Identifier: Apache-2.0
"""Remove what a resize or move has left in the row of a server.

## What it does
Sets `instance_extra.migration_context` to NULL, and the members `old` and `new` of its flavors to null, as Nova does
when a resize is confirmed. The current flavor stays.

## Guards
The server is idle and on the same host as when the plan was made, nothing was requested of it for two minutes, and no
migration of it is in progress. Refused if it is `resized`, or in ERROR: then the old flavor may be needed to revert the
resize. Consent is required by name: look first whether its disk is the one in `<server>_resize` on its former host.

## Undo
Both columns get their previous text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Record, Risk, Step, Values
from stackmend.repairs.common import change, idle, quiet, the_server
from stackmend.repairs.sighted import elsewhere

_CONTEXT = "migration_context"


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if nothing is left."""
    database, server = the_server(target, live)
    rows = live.rows(database, "instance_extra", {"instance_uuid": server["uuid"], "deleted": 0})
    found = [(row, after) for row in rows if (after := _cleared(row))]
    if not found:
        return
    if server["vm_state"] == "resized":
        raise CannotRepair(f"the resize of server {server['uuid']} awaits its confirmation: confirm or revert it")
    if server["vm_state"] == "error":
        raise CannotRepair(
            f"server {server['uuid']} is in ERROR: find out first which host has its disk, and whether that is the one"
            f" in {server['uuid']}_resize; once it is active or stopped again, audit again"
        )
    quiet(live, database, server["uuid"])
    yield from idle(live, database, server)
    for row, after in found:
        yield change(live, database, "instance_extra", row, after, ("instance_uuid", "deleted"))


def _cleared(row: Record) -> Values:
    """The columns of the row without what a move needs, as far as they change."""
    after: Record = {_CONTEXT: None} if row[_CONTEXT] not in (None, "", "null") else {}
    try:
        flavors = json.loads(str(row["flavor"] or "null"))
    except ValueError:
        raise CannotRepair(f"the flavor of server {row['instance_uuid']} is no JSON: restore it first") from None
    if isinstance(flavors, dict) and (flavors.get("old") or flavors.get("new")):
        after["flavor"] = json.dumps({**flavors, "old": None, "new": None})
    return after


REPAIR = Repair(
    name="clear-resize-leftover",
    risk=Risk.UNSAFE,
    why="if the disk in use is the one in <server>_resize, nothing in Nova tells any more which flavor it had",
    checks=("resize-leftover",),
    unless=elsewhere,
    strategies={"db": db},
    no_api="no API shows these columns, and setting the state of a server leaves them",
)
