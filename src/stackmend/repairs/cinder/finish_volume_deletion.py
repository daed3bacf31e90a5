# SPDX-License-Identifier: Apache-2.0
"""Mark what a deleted volume left alive as deleted too.

## What it does
Every live attachment, metadata row, transfer and snapshot of the volume, and what hangs on those, is marked deleted
with the time of the volume; a volume without a time of deletion gets one. Attachments also get the status `deleted`,
as Cinder gives them.

## Guards
The volume's own row still says deleted and every child reads as planned.

## Undo
All rows are put back as they were.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Risk, Step, Value
from stackmend.repairs.cinder._rows import soft_delete_all
from stackmend.repairs.common import change
from stackmend.tables.cinder import VOLUME_CHILDREN, VOLUME_GRANDCHILDREN

#: what Cinder writes besides the mark (cinder/db/api.py: attachment_destroy, snapshot_destroy)
_ALSO: dict[str, dict[str, Value]] = {
    "volume_attachment": {"attach_status": "deleted"},
    "snapshots": {"status": "deleted"},
}


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; nothing where all is marked."""
    volume = live.row("cinder", "volumes", {"id": target["volume"]})
    if volume is None or not volume["deleted"]:
        raise CannotRepair(f"volume {target['volume']} is not deleted")
    at = volume["deleted_at"] or live.now()
    steps: list[Step] = []
    # grandchildren first: a purge that runs meanwhile must not meet a deleted parent with a live child
    for table, (parent, column) in VOLUME_GRANDCHILDREN.items():
        parents = [row["id"] for row in live.rows("cinder", parent, {"volume_id": volume["id"]})]
        if parents:
            steps += soft_delete_all(live, table, {column: parents}, at)
    for table in VOLUME_CHILDREN:
        steps += soft_delete_all(live, table, {"volume_id": volume["id"]}, at, **_ALSO.get(table, {}))
    if volume["deleted_at"] is None:
        yield change(live, "cinder", "volumes", volume, {"deleted_at": at}, ("deleted",))
    elif steps:
        expect = {column: volume[column] for column in ("deleted", "deleted_at")}
        yield ExpectRow(database="cinder", table="volumes", pk={"id": volume["id"]}, expect=expect)
    yield from steps


REPAIR = Repair(
    name="finish-volume-deletion",
    risk=Risk.SAFE,
    resource="volume",
    checks=("volume-deleted-incompletely",),
    strategies={"db": db},
    no_api="no API shows what is left of a volume that is marked deleted",
)
