# SPDX-License-Identifier: Apache-2.0
"""Mark the remaining rows of a deleted volume deleted.

## What it does
The volume's live metadata and transfers, and snapshots that were being deleted with their own child rows, are marked
deleted with the deletion time of the volume. A volume without a deletion time gets one.

## Guards
Refused if anything is attached, a snapshot is live and not being deleted, or a live server maps the volume: use
`revive-volume` or `mark-volume-deleted` for those. The volume's own row must still be marked deleted, and every row
must be unchanged since the plan.

## Undo
All rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, Risk, Step, Values
from stackmend.repairs.cinder import _deletion
from stackmend.repairs.common import change


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if all rows are marked."""
    seen = attachments.read(live, target["volume"])
    volume = seen.row
    if volume is None or not volume["deleted"]:
        raise CannotRepair(f"volume {target['volume']} is not deleted")
    _deletion.refuse_mapped(seen)
    way = f"see 'stackmend volume revive {seen.volume}' and 'stackmend volume mark-deleted {seen.volume}'"
    if seen.attachments:
        raise CannotRepair(f"volume {seen.volume} still has {len(seen.attachments)} attachment(s): {way}")
    if snapshots := _deletion.wanted_snapshots(live, seen.volume):
        raise CannotRepair(f"snapshot {snapshots[0]['id']} of volume {seen.volume} is {snapshots[0]['status']}: {way}")
    at = volume["deleted_at"] or live.now()
    steps = list(_deletion.children(live, seen.volume, at))
    where: Values = {"volume_id": seen.volume, "deleted": 0}
    if volume["deleted_at"] is None:
        yield change(live, "cinder", "volumes", volume, {"deleted_at": at}, ("deleted",))
    elif steps:
        expect = {column: volume[column] for column in ("deleted", "deleted_at")}
        yield ExpectRow(database="cinder", table="volumes", pk={"id": volume["id"]}, expect=expect)
    yield ExpectNone(database="cinder", table="volume_attachment", where=where)
    yield from steps


REPAIR = Repair(
    name="finish-volume-deletion",
    risk=Risk.SAFE,
    removes=dict.fromkeys(
        (
            "attachment_specs",
            "snapshot_metadata",
            "snapshots",
            "transfers",
            "volume_admin_metadata",
            "volume_glance_metadata",
            "volume_metadata",
        ),
        "only marked deleted, as their volume is: no server has it, no snapshot is needed, the rows stay until a purge",
    ),
    resource="volume",
    checks=("volume-deleted-incompletely",),
    codes=frozenset({"live-children", "no-deletion-time"}),
    strategies={"db": db},
    no_api="no API shows the remaining rows of a volume that is marked deleted",
)
