# SPDX-License-Identifier: Apache-2.0
"""The rows deleted along with a volume, the reasons not to delete it, and the quota to give back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stackmend.cloud.evidence.attachments import VolumeReading
from stackmend.cloud.states import COPYING, SNAPSHOT_GIVEN_UP
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import BumpRow, ExpectNone, ExpectRow, Record, Step, Value, Values
from stackmend.repairs.common import change
from stackmend.repairs.volume_rows import counts, soft_delete_all
from stackmend.tables.cinder import VOLUME_CHILDREN, VOLUME_GRANDCHILDREN

#: columns that Cinder sets besides the deletion mark (cinder/db/api.py: attachment_destroy, snapshot_destroy)
_ALSO: dict[str, dict[str, Value]] = {
    "volume_attachment": {"attach_status": "deleted"},
    "snapshots": {"status": "deleted"},
}


def children(live: Live, volume: object, at: Value) -> Iterator[Step]:
    """Mark all live child rows of the volume deleted at the time ``at``; no steps if all are marked.

    Grandchildren first: a concurrent purge must never see a deleted parent with a live child.
    """
    for table, (parent, column) in VOLUME_GRANDCHILDREN.items():
        parents = [row["id"] for row in live.rows("cinder", parent, {"volume_id": str(volume)})]
        if parents:
            yield from soft_delete_all(live, table, {column: parents}, at)
    for table in VOLUME_CHILDREN:
        yield from soft_delete_all(live, table, {"volume_id": str(volume)}, at, **_ALSO.get(table, {}))


def wanted_snapshots(live: Live, volume: object) -> list[Record]:
    """Live snapshots of the volume that are not being deleted."""
    rows = live.rows("cinder", "snapshots", {"volume_id": str(volume), "deleted": 0})
    return [row for row in rows if row["status"] not in SNAPSHOT_GIVEN_UP]


def refuse_mapped(seen: VolumeReading) -> None:
    """CannotRepair if a live server has a mapping of the volume: its guest may use the disk."""
    for pair in seen.holders:
        raise CannotRepair(
            f"the live {pair.server} still has a mapping of volume {seen.volume}: its guest may have the disk. See"
            f" 'stackmend audit --server {pair.server.uuid}'; if the guest needs it: 'stackmend volume revive"
            f" {seen.volume}'"
        )


def refuse_copied(live: Live, volume: str) -> None:
    """CannotRepair while a backup of the volume is being created or restored into it."""
    for column, what in (
        ("restore_volume_id", "is being restored into it"),
        ("volume_id", "is being created from it"),
        ("temp_volume_id", "uses it temporarily"),
    ):
        where: dict[str, Value | Sequence[Value]] = {column: volume, "deleted": 0, "status": COPYING}
        if column == "volume_id":
            where["status"] = "creating"
        if column not in live.columns("cinder", "backups"):
            continue
        for row in live.rows("cinder", "backups", where):
            raise CannotRepair(
                f"backup {row['id']} {what} ({row['status']}): wait until it ends, or reset the status of that backup"
            )


def uncopied(volume: str) -> Iterator[Step]:
    """Guards: no backup is being restored into the volume, and nothing was cloned from it."""
    where: Values = {"restore_volume_id": volume, "deleted": 0, "status": "restoring"}
    yield ExpectNone(database="cinder", table="backups", where=where)
    yield ExpectNone(database="cinder", table="volumes", where={"source_volid": volume, "deleted": 0})


def refuse_cloned(live: Live, volume: str) -> None:
    """CannotRepair if a live volume was created from this one or from one of its snapshots.

    Whether the clone needs its source depends on the back end: a Ceph clone does until it is flattened.
    """
    made: dict[str, Record] = {str(row["id"]): row for row in _made_of(live, "source_volid", [volume])}
    snapshots = [str(row["id"]) for row in live.rows("cinder", "snapshots", {"volume_id": volume, "deleted": 0})]
    made |= {str(row["id"]): row for row in _made_of(live, "snapshot_id", snapshots)}
    if made:
        raise CannotRepair(
            f"{len(made)} live volume(s) were created from volume {volume}, for example {min(made)}: on a back end"
            " whose clones depend on their source (Ceph RBD) the data is still needed. Delete it through the API, where"
            " the driver handles this; or first delete the clones, or flatten and copy them"
        )


def _made_of(live: Live, column: str, sources: Sequence[str]) -> list[Record]:
    return live.rows("cinder", "volumes", {column: list(sources), "deleted": 0}) if sources else []


def quota(live: Live, row: Record, *, snapshot: bool = False) -> Iterator[Step]:
    """Give back the quota of a volume or snapshot, as Cinder's negative reservation does; never below zero."""
    if not counts(row):
        return
    kind: Record | None = live.row("cinder", "volume_types", {"id": row["volume_type_id"]})
    suffixes = ["", f"_{kind['name']}"] if kind else [""]
    size = int(str(row["volume_size" if snapshot else "size"] or 0))
    for resource, amount in (("snapshots" if snapshot else "volumes", 1), ("gigabytes", size)):
        names = [resource + suffix for suffix in suffixes]
        where = {"project_id": row["project_id"], "resource": names, "deleted": 0}
        for usage in live.rows("cinder", "quota_usages", where):
            less = min(amount, int(str(usage["in_use"])))
            if less > 0:
                yield BumpRow(
                    database="cinder", table="quota_usages", pk={"id": usage["id"]}, column="in_use", by=-less
                )


def part_finished(live: Live, table: str, identity: Value, children: Mapping[str, str]) -> Iterator[Step]:
    """Set the missing deletion time of a part of a volume, and mark its live children deleted.

    ``children``: each table of children, with the column that names the part.
    """
    row: Record | None = live.row("cinder", table, {"id": identity})
    if row is None or not row["deleted"]:
        raise CannotRepair(f"row {identity} of {table} is not deleted")
    volume: Record | None = live.row("cinder", "volumes", {"id": row["volume_id"]})
    at = row["deleted_at"] or (volume["deleted_at"] if volume and volume["deleted"] else None) or live.now()
    steps = [
        step for child, column in children.items() for step in soft_delete_all(live, child, {column: identity}, at)
    ]
    if row["deleted_at"] is None:
        yield change(live, "cinder", table, row, {"deleted_at": at}, ("deleted", "volume_id"))
    elif steps:
        expect = {name: row[name] for name in ("deleted", "deleted_at")}
        yield ExpectRow(database="cinder", table=table, pk={"id": row["id"]}, expect=expect)
    yield from steps
