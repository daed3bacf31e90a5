# SPDX-License-Identifier: Apache-2.0
"""Shared by the volume repairs: Cinder's soft delete, Nova's mappings, and Cinder's status rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stackmend.cloud.evidence import attachments
from stackmend.model.protocols import Live, Where
from stackmend.model.repair import CannotRepair
from stackmend.model.step import DeleteRow, ExpectRow, Record, Step, UpdateRow, Value
from stackmend.repairs.common import change, marked_deleted
from stackmend.tables.cinder import BACKUPS_OWN, TARGET


def soft_delete(live: Live, table: str, row: Record, at: Value, **more: Value) -> UpdateRow:
    """Mark a Cinder row deleted at the time ``at`` (rule RW5), and set the ``more`` columns."""
    guards = [column for column in ("volume_id", "attachment_id", "snapshot_id", "key") if column in row]
    return change(live, "cinder", table, row, {"deleted": 1, "deleted_at": at, **more}, guards)


def soft_delete_all(live: Live, table: str, where: Where, at: Value, **more: Value) -> Iterator[Step]:
    """Mark every live Cinder row that matches ``where`` deleted; no steps if the release lacks the table."""
    if "deleted" not in live.columns("cinder", table):
        return
    for row in live.rows("cinder", table, {**where, "deleted": 0}):
        yield soft_delete(live, table, row, at, **more)


def counts(row: Record) -> bool:
    """Whether a volume or snapshot counts against quotas. CannotRepair where its release (before Xena) does not say."""
    if "use_quota" in row:
        return bool(row["use_quota"])
    if str(row.get("migration_status") or "").startswith(TARGET):
        return False
    if str(row.get("display_name") or "").startswith(BACKUPS_OWN):
        raise CannotRepair(
            f"{row['display_name']} ({row['id']}) may have been made by a backup for itself, and then does not count"
            " against quotas: before Xena no column says so. Wait for the backup, or delete what it left with"
            " 'openstack volume delete' or 'openstack volume snapshot delete'"
        )
    return True


def drop_mapping(live: Live, database: str, row: Record, now: str) -> UpdateRow:
    """Mark a block device mapping deleted as Nova does: ``deleted`` becomes its id (rule RW4)."""
    guards = ("instance_uuid", "volume_id", "attachment_id", "boot_index")
    return marked_deleted(live, database, "block_device_mapping", row, at=now, guards=guards)


def status_set(live: Live, volume: Record, rest: Sequence[Record], *, let_go: bool) -> Iterator[Step]:
    """Set the volume's status to match the remaining attachments; errors are kept. A guard if it already matches.

    ``let_go``: an attachment was removed. Each remaining attachment must still exist.
    """
    for row in rest:
        expect = {column: row[column] for column in ("deleted", "attach_status", "instance_uuid")}
        yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": row["id"]}, expect=expect)
    status, attach_status = attachments.implied(rest)
    after: dict[str, Value] = {}
    if volume["attach_status"] != attach_status:
        after["attach_status"] = attach_status
    if volume["status"] != status and not str(volume["status"]).startswith("error"):
        after["status"] = status
    if let_go or (after and attach_status == "detached"):
        # as Cinder does, even if other attachments remain (objects/volume.py, finish_detach)
        where = {"volume_id": volume["id"], "key": "attached_mode"}
        yield from soft_delete_all(live, "volume_admin_metadata", where, live.now())
    guards = ("status", "attach_status", "migration_status", "deleted", "updated_at")
    if after:
        yield change(live, "cinder", "volumes", volume, after, guards)
    elif let_go:
        expect = {column: volume[column] for column in guards}
        yield ExpectRow(database="cinder", table="volumes", pk={"id": volume["id"]}, expect=expect)


def work_dropped(live: Live, kind: str, resource: str) -> Iterator[Step]:
    """Delete Cinder's records that a service works on a "Volume" or "Snapshot": a new status makes them void.

    Cinder does the same when a status is reset (api/contrib/admin_actions.py).
    """
    for row in live.rows("cinder", "workers", {"resource_type": [kind, kind.upper()], "resource_id": resource}):
        yield DeleteRow(database="cinder", table="workers", pk={"id": row["id"]}, before=row)
