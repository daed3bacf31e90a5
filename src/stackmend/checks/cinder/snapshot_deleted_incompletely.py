# SPDX-License-Identifier: Apache-2.0
"""A snapshot of a volume is deleted, but rows that belong to it are not.

## What is wrong
Cinder's row of the snapshot says deleted, and rows of `snapshot_metadata` that belong to it are live, or nobody noted
when it was deleted. The volume itself may well be alive.

## Why it matters
`cinder-manage db purge` stops at the first snapshot with live rows below it, for the whole table and from then on.
One without a time of deletion is never purged, and holds its volume back as well once that is deleted.

## How it comes about
Somebody ran `UPDATE snapshots SET deleted=1`. Cinder marks the snapshot with the time, and what belongs to it.

## How to see it by hand
`SELECT id FROM snapshots WHERE deleted = 1 AND deleted_at IS NULL`, and `SELECT t.id FROM snapshot_metadata t JOIN
snapshots p ON p.id = t.snapshot_id WHERE p.deleted = 1 AND t.deleted = 0`.

## Repair and its risk
`finish-snapshot-deletion` gives it the time of its volume, or now, and marks what belongs to it with the time that it
has. Nothing that works is touched: these rows describe what is gone for Cinder already.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="snapshot-deleted-incompletely",
    catalogue="H26",
    severity=Severity.WARNING,
    message="snapshot {snapshot} of volume {volume} is deleted, but {children} row(s) of it are not, or the"
    " time is lacking",
    resource=("volume", "volume"),
    key=("snapshot",),
    needs=frozenset({"cinder"}),
    reads={"cinder_half_deleted": {"parent_id": "snapshot"}},
    settle=False,
    explained_by={
        "volume-deleted-incompletely": {"volume": "volume"},
    },
    sql="""
        SELECT parent_id AS snapshot, MIN(volume_id) AS volume,
               COUNT(CASE WHEN row_id <> parent_id THEN 1 END) AS children
          FROM cinder_half_deleted
         WHERE kind = 'snapshot'
         GROUP BY parent_id""",
)
