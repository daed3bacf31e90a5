# SPDX-License-Identifier: Apache-2.0
"""Set a snapshot that is stuck in a transitional status to `error` or `available`.

## What it does
Sets `snapshots.status` to `error`, as Cinder does when an operation fails; after a backup that is over to `available`,
as cinder-backup does. Through the API this is `os-reset_status`, in the database the one column. Cinder's record that a
service works on the snapshot is removed with it, as Cinder does.

## Guards
The snapshot has the same status, has not been updated since the plan, its volume is live, and it is not part of a group
snapshot. No backup from it is being created. Consent is required by name: no record shows whether a driver is still
working on it.

## Undo
The status is restored, through the API with `os-reset_status`; in the database also Cinder's record.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.states import SNAPSHOT_HELD
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import ResetSnapshotStatus
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, Record, Risk, Step
from stackmend.repairs.calls import api_of, guarded, shown
from stackmend.repairs.common import change
from stackmend.repairs.volume_rows import work_dropped


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Cinder; none if the snapshot is no longer stuck."""
    snapshot = _snapshot(target, live)
    if snapshot is None:
        return
    made = ResetSnapshotStatus(snapshot=str(snapshot["id"]), status=_settled(snapshot))
    found = api_of(live).look(made)
    shown(found, "snapshot")
    back = ResetSnapshotStatus(snapshot=made.snapshot, status=str(found["status"])).call({"status": made.status})
    yield guarded(made, found, ("status", "volume"), back)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the snapshot is no longer stuck."""
    snapshot = _snapshot(target, live)
    if snapshot is None:
        return
    using: Record = {"snapshot_id": snapshot["id"], "deleted": 0, "status": "creating"}
    yield ExpectRow(database="cinder", table="volumes", pk={"id": snapshot["volume_id"]}, expect={"deleted": 0})
    yield ExpectNone(database="cinder", table="backups", where=using)
    guards = ("deleted", "updated_at", "volume_id", "group_snapshot_id")
    yield change(live, "cinder", "snapshots", snapshot, {"status": _settled(snapshot)}, guards)
    yield from work_dropped(live, "Snapshot", str(snapshot["id"]))


def _settled(snapshot: Record) -> str:
    return "available" if snapshot["status"] == "backing-up" else "error"


def _snapshot(target: Row, live: Live) -> Record | None:
    """Its row; None if nothing needs to be done."""
    snapshot: Record | None = live.row("cinder", "snapshots", {"id": str(target["snapshot"])})
    if snapshot is None or snapshot["deleted"] or snapshot["status"] not in SNAPSHOT_HELD:
        return None
    if snapshot["group_snapshot_id"] or snapshot["cgsnapshot_id"]:
        raise CannotRepair(f"snapshot {snapshot['id']} is part of a group snapshot: delete the group snapshot")
    for backup in live.rows("cinder", "backups", {"snapshot_id": snapshot["id"], "deleted": 0, "status": "creating"}):
        raise CannotRepair(f"backup {backup['id']} is being created from snapshot {snapshot['id']}")
    return snapshot


REPAIR = Repair(
    name="settle-snapshot",
    risk=Risk.UNSAFE,
    why="no record shows whether a driver is still working on the snapshot",
    resource="snapshot",
    checks=("snapshot-stuck",),
    strategies={"api": api, "db": db},
)
