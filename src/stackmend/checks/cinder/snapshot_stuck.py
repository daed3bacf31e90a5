# SPDX-License-Identifier: Apache-2.0
"""A snapshot of a volume is stuck in a transitional status.

## What is wrong
The snapshot has not changed for more than an hour (in `error_deleting`: ten minutes), and it is not part of a group
snapshot. The `code` says in which status it is:

* `creating`: the back end never completed it;
* `deleting`: its deletion was never completed;
* `refused`: it is in `error_deleting`; the back end refused to delete it, often because a volume was cloned from it;
* `changing`: it is in `updating`, `unmanaging` or `restoring`, and the request was never completed;
* `backing-up`: Cinder has no backup in creation that was made from it.

## Why it matters
Its owner cannot delete it, and a volume with a snapshot cannot be deleted either. Both count against the quota.

## How it comes about
cinder-volume died or lost its message queue, or the back end failed. A cinder-volume that starts again sets a snapshot
from `creating` to `error` only if it had a row in `workers` for it (bug 1586604 for the other statuses).

## How to see it by hand
`openstack volume snapshot show <snapshot>` and `openstack volume service list`; on the host of the back end, look for
the snapshot in the log of cinder-volume.

## Repair and its risk
`settle-snapshot` sets the status to `error`, from which its owner can delete it, or after a backup to `available`, as
cinder-backup does itself. A snapshot that is still being created becomes `available` when the back end has finished.
Never set one from another status to `available` by hand: it may have no data.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="snapshot-stuck",
    catalogue="H17",
    severity=Severity.WARNING,
    message="snapshot {snapshot} of volume {volume} has been {status} since {since}: {code}",
    codes={
        "creating": "the back end never completed it",
        "deleting": "its deletion was never completed",
        "refused": "the back end refused to delete it",
        "changing": "the request was never completed",
        "backing-up": "no backup is being created from it",
    },
    resource=("snapshot", "snapshot"),
    key=("snapshot",),
    needs=frozenset({"cinder"}),
    reads={
        "cinder_snapshots": {"id": "snapshot"},
        "cinder_volumes": {"id": "cinder_snapshots.volume_id"},
        "cinder_backups": {"snapshot_id": "snapshot"},
    },
    ages={"grace": 3600, "refused": 600},
    lasting=frozenset({"grace", "refused"}),
    settle=False,
    # live snapshots of deleted volumes have a check of their own
    sql="""
        WITH stuck AS (
            SELECT id, volume_id, status, COALESCE(updated_at, created_at) AS since
              FROM cinder_snapshots
             WHERE NOT deleted AND group_snapshot_id IS NULL
               AND ((status IN ('creating', 'deleting', 'updating', 'unmanaging', 'restoring', 'backing-up')
                     AND COALESCE(updated_at, created_at) < $grace)
                 OR (status = 'error_deleting' AND COALESCE(updated_at, created_at) < $refused))
        ), used AS (
            SELECT DISTINCT b.snapshot_id
              FROM cinder_backups b
              JOIN stuck s ON s.id = b.snapshot_id
             WHERE NOT b.deleted AND b.status = 'creating'
        )
        SELECT s.id AS snapshot, s.volume_id AS volume, v.project_id AS project, s.status AS status, s.since AS since,
               CASE WHEN s.status = 'creating' THEN 'creating'
                    WHEN s.status = 'deleting' THEN 'deleting'
                    WHEN s.status = 'error_deleting' THEN 'refused'
                    WHEN s.status = 'backing-up' THEN 'backing-up'
                    ELSE 'changing' END AS code
          FROM stuck s
          JOIN cinder_volumes v ON v.id = s.volume_id
          LEFT JOIN used u ON u.snapshot_id = s.id
         WHERE NOT v.deleted AND NOT (s.status = 'backing-up' AND u.snapshot_id IS NOT NULL)""",
)
