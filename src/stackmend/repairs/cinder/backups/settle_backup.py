# SPDX-License-Identifier: Apache-2.0
"""Settle a backup that no cinder-backup works on any more, with its volume and snapshot.

## What it does
What cinder-backup does when it starts again (`_cleanup_one_backup`): a backup in `creating` becomes `error`, one in
`restoring` becomes `available`. The volume that was backed up gets the status that it had before; the volume that was
restored into becomes `error_restoring`, because its content is incomplete; the snapshot becomes `available`. A backup
in `deleting` becomes `error`, from which it can be deleted again.

## Guards
No cinder-backup on the host of the backup has sent a heartbeat since the plan, if none had before. The backup and what
belongs to it are unchanged since the plan. Refused if the volume is still attached to a host for the backup: only the
service closes that attachment. Temporary volumes and snapshots of the backup are named, not deleted.

## Undo
All rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.states import BACKUP_SETTLED
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Manual, Record, Risk, Step
from stackmend.repairs.common import change

#: what cinder-backup writes on such a backup
_REASON = "incomplete backup reset on manager restart"


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the backup is no longer stuck."""
    backup: Record | None = live.row("cinder", "backups", {"id": str(target["backup"])})
    if backup is None or backup["deleted"] or backup["status"] not in BACKUP_SETTLED:
        return
    for service in live.rows("cinder", "services", {"binary": "cinder-backup", "host": backup["host"], "deleted": 0}):
        if target.get("code") == "service-silent":
            beat = {"updated_at": service["updated_at"]}
            yield ExpectRow(database="cinder", table="services", pk={"id": service["id"]}, expect=beat)
    for kind, column in (("volume", "temp_volume_id"), ("snapshot", "temp_snapshot_id")):
        if backup.get(column):
            yield Manual(
                text=f"{kind} {backup[column]} was made for backup {backup['id']} only: check that nothing else uses"
                f" it, then run: openstack volume {'snapshot ' if kind == 'snapshot' else ''}delete {backup[column]}"
            )
    if backup["status"] == "creating":
        yield from _volume_back(live, str(backup["volume_id"]), "backing-up")
    if backup["status"] == "restoring" and backup["restore_volume_id"]:
        yield from _volume_back(live, str(backup["restore_volume_id"]), "restoring-backup")
    if backup["snapshot_id"] and backup["status"] != "deleting":
        yield from _snapshot_back(live, str(backup["snapshot_id"]))
    after: Record = {"status": BACKUP_SETTLED[backup["status"]]}
    if backup["status"] == "creating":
        after["fail_reason"] = _REASON
    yield change(live, "cinder", "backups", backup, after, ("deleted", "updated_at", "host", "restore_volume_id"))


def _volume_back(live: Live, name: str, busy: str) -> Iterator[Step]:
    """The volume's status as before the backup, or ``error_restoring``."""
    seen = attachments.read(live, name)
    volume = seen.row
    if volume is None or volume["deleted"] or volume["status"] != busy:
        return
    for row in seen.attachments:
        if not row["instance_uuid"]:
            raise CannotRepair(
                f"volume {name} is attached to host {row['attached_host']} for the backup: start cinder-backup there,"
                " which detaches it and settles the backup; or detach it from the host first"
            )
    status = "error_restoring"
    if busy == "backing-up":
        status = attachments.implied(seen.attachments)[0]
        if volume["previous_status"] not in (None, status):
            raise CannotRepair(
                f"volume {name} was {volume['previous_status']} before the backup, but its attachments say {status}:"
                f" see 'stackmend audit --volume {name}'"
            )
        for row in seen.attachments:
            expect = {column: row[column] for column in ("deleted", "attach_status", "instance_uuid")}
            yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": row["id"]}, expect=expect)
    guards = ("deleted", "attach_status", "migration_status", "updated_at")
    yield change(live, "cinder", "volumes", volume, {"status": status}, guards)


def _snapshot_back(live: Live, name: str) -> Iterator[Step]:
    row: Record | None = live.row("cinder", "snapshots", {"id": name})
    if row is not None and not row["deleted"] and row["status"] == "backing-up":
        yield change(live, "cinder", "snapshots", row, {"status": "available"}, ("deleted", "updated_at"))


REPAIR = Repair(
    name="settle-backup",
    risk=Risk.UNSAFE,
    why="a cinder-backup that still works on it, on a host whose heartbeat is lost, would go on writing to the volume",
    resource="backup",
    checks=("backup-stuck",),
    strategies={"db": db},
    no_api="Cinder resets a backup only through the cinder-backup that has it, which settles it itself when it starts",
)
