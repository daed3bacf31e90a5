# SPDX-License-Identifier: Apache-2.0
"""A snapshot of a volume is deleted, but its child rows are not.

## What is wrong
Cinder's row of the snapshot is marked deleted, but its rows in `snapshot_metadata` or `volume_glance_metadata` are
live, or the row has no deletion time. The volume itself may be live.

## Why it matters
`cinder-manage db purge` stops at the first deleted snapshot with live child rows, for the whole table and from then on.
A snapshot without a deletion time is never purged, and blocks the purge of its volume as well.

## How it comes about
Somebody ran `UPDATE snapshots SET deleted=1`. Cinder itself sets the deletion time and marks the child rows.

## How to see it by hand
`SELECT id FROM snapshots WHERE deleted = 1 AND deleted_at IS NULL`, and `SELECT t.id FROM snapshot_metadata t JOIN
snapshots p ON p.id = t.snapshot_id WHERE p.deleted = 1 AND t.deleted = 0`, likewise for `volume_glance_metadata`.

## Repair and its risk
`finish-snapshot-deletion` sets the missing deletion time (its volume's, or now) and marks the child rows with it.
Nothing in use is touched: these rows describe a snapshot that Cinder already considers deleted.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="snapshot-deleted-incompletely",
    catalogue="H26",
    severity=Severity.WARNING,
    message="snapshot {snapshot} of volume {volume} is deleted, but {children} row(s) of it are not, or its"
    " deletion time is missing",
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
