# SPDX-License-Identifier: Apache-2.0
"""Delete a volume that Cinder could not delete, or mark it deleted in Cinder's database.

## What it does
By the API Cinder is asked once more: the status becomes `error`, the volume is deleted, and where that is refused it is
deleted by force. Drivers take data that is not there for deleted.

In the database, what Cinder does after its driver has removed the data: the volume and every child row are marked
deleted at the same moment, the records of work on it and its entry in the image cache go, and the quota of its project
(volumes, gigabytes, and both by volume type) is given back, unless the volume never counted.

As a request it takes `volume`.

## Guards
Refused while anything is attached or Nova maps it, while a snapshot is alive, in a group, during a migration, and in
a status in which Cinder is at work or the volume in use.

## Undo
All rows are put back and the quota is taken again. What the back end lost stays lost. What the API has deleted is
deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import BumpRow, DeleteRow, ExpectNone, Manual, Risk, Step, Value
from stackmend.repairs.calls import api_of, call, guarded, shown
from stackmend.repairs.cinder._rows import live_volume, soft_delete_all
from stackmend.repairs.common import Record, change
from stackmend.tables.cinder import VOLUME_CHILDREN, VOLUME_GRANDCHILDREN

#: statuses in which a volume may be given up; the API knows the same ones and "deleting" belongs to a living service
_GIVEN_UP = frozenset({"error_deleting", "error", "available", "error_restoring", "error_extending"})


def api(target: Row, live: Live) -> Iterator[Step]:
    """Calls of Cinder; nothing where the volume is deleted already."""
    known = live.row("cinder", "volumes", {"id": target["volume"]})
    if known is not None and known["deleted"]:
        return
    volume = live_volume(live, target["volume"])
    _refuse_in_use(volume, live)
    name, services = str(volume["id"]), api_of(live)
    found = services.look(call("block-storage", "delete-volume", volume=name))
    shown(found, "volume")
    if found["attachments"]:
        raise CannotRepair(f"Cinder shows {found['attachments']} attachments of volume {name}")
    if found["status"] != "error":
        reset = call("block-storage", "reset-status", volume=name, status="error")
        yield guarded(reset, found, ("status", "migration", "attachments"))
    deleted = call("block-storage", "delete-volume", volume=name)
    yield guarded(deleted, found, ("migration", "attachments"), status="error")


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; nothing where the volume is deleted already."""
    known: Record | None = live.row("cinder", "volumes", {"id": target["volume"]})
    if known is not None and known["deleted"]:
        return
    volume = live_volume(live, target["volume"])
    _refuse_in_use(volume, live)
    name = volume.get("_name_id") or volume["id"]
    key = " It is encrypted: Cinder deletes the key before the data." if target.get("encrypted") else ""
    yield Manual(text=f"prove that the back end {volume['host']} has nothing of volume {name}: no data, no clone.{key}")
    for table in ("volume_attachment", "snapshots"):
        yield ExpectNone(database="cinder", table=table, where={"volume_id": volume["id"], "deleted": 0})
    now = live.now()
    yield from _children(volume, live, now)
    workers = {"resource_type": ["Volume", "VOLUME"], "resource_id": volume["id"]}
    for row in live.rows("cinder", "workers", workers):
        yield DeleteRow(database="cinder", table="workers", pk={"id": row["id"]}, before=row)
    for row in live.rows("cinder", "image_volume_cache_entries", {"volume_id": volume["id"]}):
        yield DeleteRow(database="cinder", table="image_volume_cache_entries", pk={"id": row["id"]}, before=row)
    after: dict[str, Value] = {"status": "deleted", "deleted": 1, "deleted_at": now, "migration_status": None}
    yield change(live, "cinder", "volumes", volume, after, ("attach_status", "updated_at", "size", "project_id"))
    if volume.get("use_quota", 1):
        yield from _quota(volume, live)


def _refuse_in_use(volume: Record, live: Live) -> None:
    if volume["status"] not in _GIVEN_UP:
        raise CannotRepair(f"volume {volume['id']} is {volume['status']}")
    if volume.get("group_id") or volume.get("consistencygroup_id"):
        raise CannotRepair(f"volume {volume['id']} belongs to a group: take it out first")
    for table, what in (("volume_attachment", "attachment"), ("snapshots", "snapshot")):
        if found := live.rows("cinder", table, {"volume_id": volume["id"], "deleted": 0}):
            raise CannotRepair(f"volume {volume['id']} has {len(found)} live {what}(s), one is {found[0]['id']}")
    for cell in live.cells():
        where = {"volume_id": volume["id"], "deleted": 0}
        for row in live.rows(cell_database(cell), "block_device_mapping", where):
            raise CannotRepair(f"server {row['instance_uuid']} still has a mapping of volume {volume['id']}")


def _children(volume: Record, live: Live, now: str) -> Iterator[Step]:
    for table in VOLUME_CHILDREN:
        yield from soft_delete_all(live, table, {"volume_id": volume["id"]}, now)
    for table, (parent, column) in VOLUME_GRANDCHILDREN.items():
        parents = [row["id"] for row in live.rows("cinder", parent, {"volume_id": volume["id"]})]
        if parents:
            yield from soft_delete_all(live, table, {column: parents}, now)


def _quota(volume: Record, live: Live) -> Iterator[Step]:
    """Give back what the volume counted for, as Cinder's negative reservation does; never below nothing."""
    kind: Record | None = live.row("cinder", "volume_types", {"id": volume["volume_type_id"]})
    suffixes = ["", f"_{kind['name']}"] if kind else [""]
    for resource, amount in (("volumes", 1), ("gigabytes", int(str(volume["size"] or 0)))):
        names = [resource + suffix for suffix in suffixes]
        where = {"project_id": volume["project_id"], "resource": names, "deleted": 0}
        for row in live.rows("cinder", "quota_usages", where):
            less = min(amount, int(str(row["in_use"])))
            if less > 0:
                yield BumpRow(database="cinder", table="quota_usages", pk={"id": row["id"]}, column="in_use", by=-less)


REPAIR = Repair(
    name="mark-volume-deleted",
    risk=Risk.UNSAFE,
    resource="volume",
    checks=("volume-stuck-error-deleting",),
    strategies={"api": api, "db": db},
    why="the record is all that leads to the data: the back end must be proven empty first, and an encrypted volume"
    " has lost its key already",
)
