# SPDX-License-Identifier: Apache-2.0
"""Delete a volume that Cinder failed to delete, or mark it deleted in Cinder's database.

## What it does
Through the API, Cinder is asked again: the status is set to `error` and the volume deleted, by force if a plain delete
is refused. Drivers treat missing data as deleted.

In the database, it does what Cinder does after its driver has removed the data: the volume and every child row are
marked deleted at the same time, its worker records and its entry in the image cache are removed, and the quota of its
project (volumes, gigabytes, and both by volume type) is given back, unless the volume never counted.

If the volume is already marked deleted but some of its rows are not, the rest follows: attachments that no live server
maps, and snapshots with their quota. The quota of the volume itself is left to `cinder-manage quota sync`.

As a request it takes `volume`.

## Guards
Refused if a server maps it or anything is attached, if it has a live snapshot, is in a group or being migrated, if its
status shows that Cinder is working on it or that it is in use, and while a backup of it is being created or restored
into it. In the database it is also refused if a live volume was cloned from it, because some back ends need the source
as long as the clone exists.

## Undo
All rows are restored and the quota is charged again. Data deleted by the back end or through the API stays deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.evidence.attachments import VolumeReading
from stackmend.cloud.states import VOLUME_GIVEN_UP
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import DeleteVolume, ResetStatus
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import DeleteRow, ExpectNone, ExpectRow, Manual, Record, Risk, Step, Value, writes
from stackmend.repairs.calls import api_of, chosen, guarded, shown
from stackmend.repairs.cinder import _deletion
from stackmend.repairs.common import change, idle, no_such_server
from stackmend.repairs.sighted import volume_used


def api(target: Row, live: Live) -> Iterator[Step]:
    """API calls to Cinder; none if the volume is already deleted."""
    seen = attachments.read(live, target["volume"])
    if seen.row is not None and seen.row["deleted"]:
        if not any(map(writes, _rest(seen, seen.row, live))):
            return
        raise CannotRepair("Cinder does not show a volume that is marked deleted")
    _refuse_in_use(seen, live)
    services = api_of(live)
    found = services.look(DeleteVolume(volume=seen.volume))
    shown(found, "volume")
    if found["attachments"]:
        raise CannotRepair(f"Cinder shows {found['attachments']} attachments of volume {seen.volume}")
    if found["status"] != "error":
        reset = ResetStatus(volume=seen.volume, status="error")
        yield guarded(reset, found, ("status", "migration", "attachments"))
    deleted = DeleteVolume(volume=seen.volume)
    yield deleted.call({**chosen(found, ("migration", "attachments")), "status": "error"})


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the volume and all its rows are deleted."""
    seen = attachments.read(live, target["volume"])
    if seen.row is not None and seen.row["deleted"]:
        yield from _rest(seen, seen.row, live)
        return
    volume = _refuse_in_use(seen, live)
    _deletion.refuse_cloned(live, seen.volume)
    name = volume.get("_name_id") or volume["id"]
    key = " It is encrypted: Cinder deletes the key before the data." if target.get("encrypted") else ""
    yield Manual(text=f"verify that the back end {volume['host']} has no data and no clone of volume {name}.{key}")
    for table in ("volume_attachment", "snapshots"):
        yield ExpectNone(database="cinder", table=table, where={"volume_id": volume["id"], "deleted": 0})
    yield from _deletion.uncopied(seen.volume)
    now = live.now()
    yield from _deletion.children(live, seen.volume, now)
    workers = {"resource_type": ["Volume", "VOLUME"], "resource_id": volume["id"]}
    for row in live.rows("cinder", "workers", workers):
        yield DeleteRow(database="cinder", table="workers", pk={"id": row["id"]}, before=row)
    for row in live.rows("cinder", "image_volume_cache_entries", {"volume_id": volume["id"]}):
        yield DeleteRow(database="cinder", table="image_volume_cache_entries", pk={"id": row["id"]}, before=row)
    after: dict[str, Value] = {"status": "deleted", "deleted": 1, "deleted_at": now, "migration_status": None}
    yield change(live, "cinder", "volumes", volume, after, ("attach_status", "updated_at", "size", "project_id"))
    yield from _deletion.quota(live, volume)


def _refuse_in_use(seen: VolumeReading, live: Live) -> Record:
    """The volume's row; CannotRepair if anything still uses the volume."""
    volume = seen.live()
    if volume["status"] not in VOLUME_GIVEN_UP:
        raise CannotRepair(f"volume {seen.volume} is {volume['status']}")
    if volume.get("group_id") or volume.get("consistencygroup_id"):
        raise CannotRepair(f"volume {seen.volume} belongs to a group: remove it from the group first")
    for table, what in (("volume_attachment", "attachment"), ("snapshots", "snapshot")):
        if found := live.rows("cinder", table, {"volume_id": seen.volume, "deleted": 0}):
            raise CannotRepair(f"volume {seen.volume} has {len(found)} live {what}(s), for example {found[0]['id']}")
    _deletion.refuse_copied(live, seen.volume)
    for pair in seen.pairs:
        for _ in pair.mappings:
            raise CannotRepair(f"server {pair.server.uuid} still has a mapping of volume {seen.volume}")
    return volume


def _rest(seen: VolumeReading, volume: Record, live: Live) -> Iterator[Step]:
    """The rows left by a deletion of the volume alone; the guest's mapping first."""
    _deletion.refuse_mapped(seen)
    if any(not a["instance_uuid"] for a in seen.attachments):
        raise CannotRepair(f"volume {seen.volume} is still attached to a host: detach it first")
    _deletion.refuse_copied(live, seen.volume)
    at = volume["deleted_at"] or live.now()
    steps = list(_deletion.children(live, seen.volume, at))
    snapshots = live.rows("cinder", "snapshots", {"volume_id": seen.volume, "deleted": 0})
    if snapshots:
        _deletion.refuse_cloned(live, seen.volume)
    for row in snapshots:
        steps += _deletion.quota(live, row, snapshot=True)
    if volume["deleted_at"] is None:
        steps.append(change(live, "cinder", "volumes", volume, {"deleted_at": at}, ("deleted",)))
    if not steps:
        return
    for pair in seen.pairs:
        pair.server.settled()
        if pair.server.row is None:
            yield from no_such_server(live, pair.server.uuid)
        else:
            yield from idle(live, pair.server.database, pair.server.row)
    hosts = ", ".join(sorted({str(a["attached_host"]) for a in seen.attachments if a["attached_host"]}))
    yield Manual(
        text=f"check that no guest{f' (on {hosts})' if hosts else ''} has volume {seen.volume}, and that the back end"
        f" {volume['host']} has no data of it or its {len(snapshots)} snapshot(s); then run cinder-manage quota sync"
        f" for project {volume['project_id']}"
    )
    expect = {column: volume[column] for column in ("deleted", "deleted_at")}
    yield ExpectRow(database="cinder", table="volumes", pk={"id": volume["id"]}, expect=expect)
    yield from steps


REPAIR = Repair(
    name="mark-volume-deleted",
    risk=Risk.UNSAFE,
    resource="volume",
    checks=("volume-stuck-error-deleting", "volume-deleted-incompletely"),
    codes=frozenset({"back-end-refused", "live-attachments"}),
    unless=volume_used,
    strategies={"api": api, "db": db},
    why="the record is the only pointer to the data: verify that the back end has none; the key of an encrypted volume"
    " is already deleted",
)
