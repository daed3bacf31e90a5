# SPDX-License-Identifier: Apache-2.0
"""Set a volume that is stuck in a transitional status to the status that its attachments imply.

## What it does
Sets `volumes.status` to `in-use` or `available`, by Cinder's own rule from the live attachments; a volume in
`restoring-backup` becomes `error_restoring`, as cinder-backup sets it. Through the API this is `os-reset_status`, in
the database the one column. Attachments and `attach_status` are not changed. Cinder's record that a service works on
the volume is removed with it, as Cinder does.

## Guards
The volume has the same status, has not been updated since the plan, and no migration of it is in progress. No backup of
it is being created or restored into it, and no transfer of it is open. Refused if an attachment is just being made or
ended, or if the volume is attached to a host, which then works on it. Every attachment is unchanged. Consent is
required by name: no record shows whether a driver is still working on it.

## Undo
The status is restored, through the API with `os-reset_status`.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.evidence.attachments import VolumeReading
from stackmend.cloud.states import COPYING, SETTLED, VOLUME_HELD
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import ResetStatus
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, Manual, Record, Risk, Step
from stackmend.repairs.calls import api_of, guarded, shown
from stackmend.repairs.common import change
from stackmend.repairs.volume_rows import work_dropped


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Cinder; none if the volume is no longer stuck."""
    seen = _stuck(target, live)
    if seen is None:
        return
    made = ResetStatus(volume=seen.volume, status=_settled(seen, seen.live()))
    found = api_of(live).look(made)
    shown(found, "volume")
    back = ResetStatus(volume=made.volume, status=str(found["status"])).call({"status": made.status})
    yield guarded(made, found, ("status", "migration", "attachments"), back)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the volume is no longer stuck."""
    seen = _stuck(target, live)
    if seen is None:
        return
    volume = seen.live()
    if "extending" in str(volume["status"]):
        yield Manual(
            text=f"compare the size of volume {seen.volume} on the back end {volume['host']} with the {volume['size']}"
            " GB in Cinder, and extend it once more through Cinder if it is larger"
        )
    for row in seen.attachments:
        expect = {column: row[column] for column in ("deleted", "attach_status", "instance_uuid")}
        yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": row["id"]}, expect=expect)
    for table, where in _others(seen.volume):
        yield ExpectNone(database="cinder", table=table, where=where)
    guards = ("attach_status", "migration_status", "deleted", "updated_at")
    yield change(live, "cinder", "volumes", volume, {"status": _settled(seen, volume)}, guards)
    yield from work_dropped(live, "Volume", seen.volume)


def _others(volume: str) -> Iterator[tuple[str, Record]]:
    """Rows that would show that the volume is held for a reason."""
    yield "backups", {"volume_id": volume, "deleted": 0, "status": COPYING[0]}
    yield "backups", {"restore_volume_id": volume, "deleted": 0, "status": COPYING[1]}
    yield "transfers", {"volume_id": volume, "deleted": 0}


def _stuck(target: Row, live: Live) -> VolumeReading | None:
    """What is recorded of the volume; None if nothing needs to be done."""
    seen = attachments.read(live, target["volume"])
    if seen.row is None or seen.row["deleted"] or seen.row["status"] not in VOLUME_HELD:
        return None
    volume = seen.live()
    for table, where in _others(seen.volume):
        for row in live.rows("cinder", table, where):
            raise CannotRepair(f"volume {seen.volume} is {volume['status']} because of row {row['id']} of {table}")
    for row in seen.attachments:
        if not row["instance_uuid"]:
            raise CannotRepair(
                f"volume {seen.volume} is attached to host {row['attached_host']}, which may be working on it"
            )
    return seen


def _settled(seen: VolumeReading, volume: Record) -> str:
    if volume["status"] == "restoring-backup":
        return "error_restoring"
    status = attachments.implied(seen.attachments)[0]
    if status not in SETTLED and status != "reserved":
        raise CannotRepair(f"an attachment of volume {seen.volume} is {status}: wait until it ends")
    return status


REPAIR = Repair(
    name="settle-volume",
    risk=Risk.UNSAFE,
    why="no record shows whether a driver is still working on the volume",
    resource="volume",
    checks=("volume-stuck-transitional",),
    strategies={"api": api, "db": db},
)
