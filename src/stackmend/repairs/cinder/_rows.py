# SPDX-License-Identifier: Apache-2.0
"""What the repairs of volumes share: Cinder's soft delete, its rule for statuses, and the state of a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import Step, UpdateRow, Value
from stackmend.repairs.common import Record, change, marked_deleted

#: the attachment's word for the volume's (cinder/db/api.py, ATTACH_STATUS_MAP)
_VOLUME_STATUS = {"attached": "in-use", "detached": "available"}


def soft_delete(live: Live, table: str, row: Record, at: Value, **more: Value) -> UpdateRow:
    """Mark a row of Cinder's deleted at the time ``at`` (rule RW5), together with ``more`` columns."""
    guards = [column for column in ("volume_id", "attachment_id", "snapshot_id", "key") if column in row]
    return change(live, "cinder", table, row, {"deleted": 1, "deleted_at": at, **more}, guards)


def soft_delete_all(live: Live, table: str, where: Record, at: Value, **more: Value) -> Iterator[Step]:
    """Mark every live row of Cinder's that matches ``where`` deleted; nothing where the release has no such table."""
    if "deleted" not in live.columns("cinder", table):
        return
    for row in live.rows("cinder", table, {**where, "deleted": 0}):
        yield soft_delete(live, table, row, at, **more)


def drop_mapping(live: Live, database: str, row: Record, now: str) -> UpdateRow:
    """Mark one of Nova's block device mappings deleted as Nova does: ``deleted`` becomes its id (rule RW4)."""
    guards = ("instance_uuid", "volume_id", "attachment_id", "boot_index")
    return marked_deleted(live, database, "block_device_mapping", row, at=now, guards=guards)


def statuses(attachments: Iterable[Record]) -> tuple[str, str]:
    """(status, attach_status) of a volume with these live attachments (cinder, _get_statuses_from_attachments)."""
    words = sorted(str(a["attach_status"]) for a in attachments if not str(a["attach_status"]).startswith("error_"))
    word = words[0] if words else "detached"
    return _VOLUME_STATUS.get(word, word), word


def live_volume(live: Live, volume: object) -> Record:
    """The volume's row; CannotRepair if there is none, it is deleted, or Cinder is migrating it."""
    row: Record | None = live.row("cinder", "volumes", {"id": str(volume)})
    if row is None or row["deleted"]:
        raise CannotRepair(f"Cinder has no live volume {volume}")
    if row["migration_status"] not in (None, "success", "error"):
        raise CannotRepair(f"volume {volume} is being migrated ({row['migration_status']})")
    return row


def live_server(live: Live, server: str) -> tuple[str, Record] | None:
    """(database, row) of the live server, in whatever cell; None if it is gone. All cells must answer (R2)."""
    found: list[tuple[str, Record]] = []
    for cell in live.cells():
        database = cell_database(cell)
        found += [(database, row) for row in live.rows(database, "instances", {"uuid": server, "deleted": 0})]
    if len(found) > 1:
        raise CannotRepair(f"server {server} is live in more than one cell")
    if found:
        return found[0]
    if live.rows("nova_api", "build_requests", {"instance_uuid": server}):
        raise CannotRepair(f"server {server} is about to be built")
    return None
