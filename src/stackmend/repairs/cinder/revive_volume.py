# SPDX-License-Identifier: Apache-2.0
"""Undelete a volume that was marked deleted while a server or a snapshot still needs it.

## What it does
The volume's row is live again, with the status that its attachments make by Cinder's own rule, and so is what was
marked deleted in the very same moment: its metadata, and that of the image it was made of. Such a statement takes no
data from the back end and gives no quota back, so there is nothing else to mend; the owner can then delete it properly.

As a request it takes `volume`.

## Guards
Refused where nothing of the volume is alive: no attachment whose living server maps it, and no snapshot. The row must
still be deleted, and each attachment read as planned.

## Undo
All rows are put back as they were.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import attachments
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Manual, Risk, Step, Value
from stackmend.repairs.cinder import _deletion
from stackmend.repairs.common import change

#: of the volume alone: attachments and snapshots that are marked deleted are not needed by anybody
_RECORDS = ("volume_metadata", "volume_admin_metadata", "volume_glance_metadata")


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; nothing where the volume is alive."""
    seen = attachments.read(live, target["volume"])
    volume = seen.row
    if volume is None:
        raise CannotRepair(f"Cinder has no row of volume {target['volume']}, not even a deleted one")
    if not volume["deleted"]:
        return
    using = [pair.server.uuid for pair in seen.pairs if pair.holds and pair.agreed]
    snapshots = _deletion.wanted_snapshots(live, seen.volume)
    if not using and not snapshots:
        raise CannotRepair(
            f"nothing of volume {seen.volume} is alive: no living server has it attached, and it has no snapshot"
        )
    needs = [f"server {name} has it" for name in using]
    needs += [f"snapshot {row['id']} is {row['status']}" for row in snapshots]
    ended = " Cinder itself was asked to delete it once: is there any data?" if volume.get("terminated_at") else ""
    yield Manual(
        text=f"{'; '.join(needs)}: see that the back end {volume['host']} has the data of volume"
        f" {volume.get('_name_id') or seen.volume}.{ended} If quotas were synced since: cinder-manage quota sync for"
        f" project {volume['project_id']}"
    )
    for row in seen.attachments:
        expect = {column: row[column] for column in ("deleted", "attach_status", "instance_uuid")}
        yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": row["id"]}, expect=expect)
    back: dict[str, Value] = {"deleted": 0, "deleted_at": None}
    status, attach_status = attachments.implied(seen.attachments)
    after = {**back, "status": status, "attach_status": attach_status}
    wrong = {column: value for column, value in after.items() if volume[column] != value}
    yield change(live, "cinder", "volumes", volume, wrong, ("deleted", "deleted_at", "updated_at"))
    for table in _RECORDS:
        for row in live.rows("cinder", table, {"volume_id": seen.volume, "deleted": 1}):
            if row["deleted_at"] == volume["deleted_at"] is not None:
                yield change(live, "cinder", table, row, back, ("volume_id", "key"))


REPAIR = Repair(
    name="revive-volume",
    risk=Risk.UNSAFE,
    resource="volume",
    checks=("volume-deleted-incompletely",),
    codes=frozenset({"still-attached", "live-snapshots"}),
    strategies={"db": db},
    no_api="no API shows a volume that is marked deleted",
    why="if its data is gone from the back end, Cinder then shows a volume that does not exist",
)
