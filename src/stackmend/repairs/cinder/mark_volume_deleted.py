# SPDX-License-Identifier: Apache-2.0
"""Delete a volume that Cinder could not delete, or mark it deleted in Cinder's database.

## What it does
By the API Cinder is asked once more: the status becomes `error`, the volume is deleted, and where that is refused it is
deleted by force. Drivers take data that is not there for deleted.

In the database, what Cinder does after its driver has removed the data: the volume and every child row are marked
deleted at the same moment, the records of work on it and its entry in the image cache go, and the quota of its project
(volumes, gigabytes, and both by volume type) is given back, unless the volume never counted.

Where the volume is marked deleted already, and something of it is not, the rest follows: attachments that no living
server maps, and snapshots, with their quota. That of the volume itself is left to `cinder-manage quota sync`.

As a request it takes `volume`.

## Guards
Refused while a server maps it or anything is attached, while a snapshot is alive, in a group, during a migration, in a
status in which Cinder is at work or the volume in use, and while a backup is being made of it or restored into it. In
the database also where a living volume was cloned from it, for some back ends need the source as long as the clone.

## Undo
All rows are restored and the quota is charged again. What the back end has deleted stays deleted, and so does what the
API has deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import attachments
from stackmend.cloud.attachments import Reading
from stackmend.cloud.states import VOLUME_GIVEN_UP
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import DeleteVolume, ResetStatus
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import DeleteRow, ExpectNone, ExpectRow, Manual, Risk, Step, Value, writes
from stackmend.repairs.calls import api_of, chosen, guarded, shown
from stackmend.repairs.cinder import _deletion
from stackmend.repairs.common import Record, change, idle, no_such_server


def api(target: Row, live: Live) -> Iterator[Step]:
    """Calls of Cinder; nothing where the volume is deleted already."""
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
    """Steps on Cinder's database; nothing where the volume is deleted with all that belongs to it."""
    seen = attachments.read(live, target["volume"])
    if seen.row is not None and seen.row["deleted"]:
        yield from _rest(seen, seen.row, live)
        return
    volume = _refuse_in_use(seen, live)
    _deletion.refuse_cloned(live, seen.volume)
    name = volume.get("_name_id") or volume["id"]
    key = " It is encrypted: Cinder deletes the key before the data." if target.get("encrypted") else ""
    yield Manual(text=f"prove that the back end {volume['host']} has nothing of volume {name}: no data, no clone.{key}")
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


def _refuse_in_use(seen: Reading, live: Live) -> Record:
    """The volume's row; CannotRepair where anything of the cloud still counts on the volume."""
    volume = seen.live()
    if volume["status"] not in VOLUME_GIVEN_UP:
        raise CannotRepair(f"volume {seen.volume} is {volume['status']}")
    if volume.get("group_id") or volume.get("consistencygroup_id"):
        raise CannotRepair(f"volume {seen.volume} belongs to a group: take it out first")
    for table, what in (("volume_attachment", "attachment"), ("snapshots", "snapshot")):
        if found := live.rows("cinder", table, {"volume_id": seen.volume, "deleted": 0}):
            raise CannotRepair(f"volume {seen.volume} has {len(found)} live {what}(s), one is {found[0]['id']}")
    _deletion.refuse_copied(live, seen.volume)
    for pair in seen.pairs:
        for _ in pair.mappings:
            raise CannotRepair(f"server {pair.server.uuid} still has a mapping of volume {seen.volume}")
    return volume


def _rest(seen: Reading, volume: Record, live: Live) -> Iterator[Step]:
    """What a deletion of the volume alone has left; the guest first."""
    _deletion.refuse_mapped(seen)
    if any(not a["instance_uuid"] for a in seen.attachments):
        raise CannotRepair(f"volume {seen.volume} is still attached to a host: end that first")
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
        text=f"see that no guest{f' (on {hosts})' if hosts else ''} has volume {seen.volume}, and that the back end"
        f" {volume['host']} has nothing of it or its {len(snapshots)} snapshot(s); then cinder-manage quota sync for"
        f" project {volume['project_id']}"
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
    strategies={"api": api, "db": db},
    why="the record is all that leads to the data: the back end must be proven empty first, and an encrypted volume"
    " has lost its key already",
)
