# SPDX-License-Identifier: Apache-2.0
"""Undelete a volume that was marked deleted although a server or a snapshot still needs it.

## What it does
The volume's row is made live again, with the status that Cinder's own rule derives from its attachments. Its metadata
and image metadata that were marked deleted at the very same time are made live as well. An SQL statement that marked
the volume deleted has removed no data from the back end and given no quota back, so nothing else needs repair; the
owner can then delete the volume properly.

As a request it takes `volume`.

## Guards
Refused if nothing of the volume is live: no attachment mapped by a live server, and no snapshot. The row must still be
marked deleted, and each attachment unchanged since the plan.

## Undo
All rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Manual, Risk, Step, Value
from stackmend.repairs.cinder import _deletion
from stackmend.repairs.common import change

#: only these: attachments and snapshots that are marked deleted are not needed
_RECORDS = ("volume_metadata", "volume_admin_metadata", "volume_glance_metadata")


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the volume is live."""
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
            f"nothing needs volume {seen.volume}: no live server has it attached, and it has no snapshot"
        )
    needs = [f"server {name} has it" for name in using]
    needs += [f"snapshot {row['id']} is {row['status']}" for row in snapshots]
    ended = " Cinder was once asked to delete it: is the data still there?" if volume.get("terminated_at") else ""
    yield Manual(
        text=f"{'; '.join(needs)}: check that the back end {volume['host']} has the data of volume"
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
    why="if the back end no longer has its data, Cinder then shows a volume that does not exist",
)
