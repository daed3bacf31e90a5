# SPDX-License-Identifier: Apache-2.0
"""A volume is deleted, but its child rows are not.

## What is wrong
Cinder's row of the volume is marked deleted, but its attachments, metadata, transfers or snapshots are still live, or
the row has no deletion time. The `code` says which:

* `still-attached`: an attachment is live and Nova maps the volume for its server: the guest has the disk, and the
  volume's own row is wrong;
* `live-snapshots`: a snapshot is live and not being deleted: its owner relies on it;
* `live-attachments`: an attachment is live that Nova has no mapping for;
* `live-children`: only records that nobody needs are left;
* `no-deletion-time`: all rows are marked, but the deletion time is missing.

## Why it matters
A server whose volume is marked deleted keeps running until its next reboot or migration, which fails. `cinder-manage db
purge` stops at the first such volume, for the whole table and from then on; without a deletion time the row is never
purged. A live attachment may also make Nova keep its mapping.

## How it comes about
Somebody ran `UPDATE volumes SET deleted=1, status='deleted'`. Cinder itself marks volume and child rows in one
transaction.

## How to see it by hand
`SELECT v.id FROM volumes v JOIN volume_metadata c ON c.volume_id = v.id WHERE v.deleted = 1 AND c.deleted = 0`, and so
on for each table that refers to volumes; `openstack server volume list <server>` for the servers.

## Repair and its risk
If a guest has the disk, or a snapshot is live, `revive-volume` marks the volume live again: the SQL statement removed
no data from the back end. The owner can then delete it properly. If only Cinder has an attachment,
`mark-volume-deleted` ends it, once you have checked the host. `finish-volume-deletion` marks the remaining rows deleted
with the time of their volume. Nothing in use is touched, and a server that still maps the volume is dealt with first.
To delete a volume with its snapshots for good, use `stackmend volume mark-deleted`. Quota that such an UPDATE left in
use is corrected by `cinder-manage quota sync`.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-deleted-incompletely",
    catalogue="H26",
    severity=Severity.WARNING,
    message="volume {volume} is deleted, but {code}",
    codes={
        "still-attached": "{children} row(s) of it are not: one is an attachment to a server that maps the volume",
        "live-snapshots": "{children} row(s) of it are not: one is a snapshot that is not being deleted",
        "live-attachments": "{children} row(s) of it are not: one is an attachment that Nova has no mapping for",
        "live-children": "{children} row(s) of it are not: records that nobody needs",
        "no-deletion-time": "its deletion time is missing",
    },
    resource=("volume", "volume"),
    key=("volume",),
    sight=disk(),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_leftover_children": {"volume_id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume"},
        "cinder_snapshots": {"volume_id": "volume"},
        "nova_block_device_mapping": {"volume_id": "volume"},
    },
    settle=False,
    sql="""
        WITH left_alive AS (
            SELECT volume_id, COUNT(*) AS children FROM cinder_leftover_children GROUP BY volume_id
        ), gone AS (
            SELECT v.id, v.project_id, v.deleted_at, COALESCE(c.children, 0) AS children
              FROM cinder_volumes v
              LEFT JOIN left_alive c ON c.volume_id = v.id
             WHERE v.deleted AND (c.volume_id IS NOT NULL OR v.deleted_at IS NULL)
        ), attached AS (
            SELECT a.volume_id, COUNT(*) AS attachments, COUNT(b.id) AS mapped, MIN(a.instance_uuid) AS server
              FROM gone v
              JOIN cinder_volume_attachment a ON a.volume_id = v.id AND NOT a.deleted
              LEFT JOIN nova_block_device_mapping b
                ON b.volume_id = a.volume_id AND b.instance_uuid = a.instance_uuid AND NOT b.deleted
             GROUP BY a.volume_id
        ), snapped AS (
            SELECT s.volume_id, COUNT(*) AS snapshots
              FROM gone v
              JOIN cinder_snapshots s ON s.volume_id = v.id
             WHERE NOT s.deleted AND COALESCE(s.status, '') NOT IN ('deleting', 'error_deleting', 'deleted', 'error')
             GROUP BY s.volume_id
        )
        SELECT v.id AS volume, v.project_id AS project, v.deleted_at AS deleted_at, v.children AS children,
               a.server AS server, COALESCE(s.snapshots, 0) AS snapshots,
               CASE WHEN a.mapped > 0 THEN 'still-attached'
                    WHEN s.snapshots > 0 THEN 'live-snapshots'
                    WHEN a.attachments > 0 THEN 'live-attachments'
                    WHEN v.children = 0 THEN 'no-deletion-time'
                    ELSE 'live-children' END AS code
          FROM gone v
          LEFT JOIN attached a ON a.volume_id = v.id
          LEFT JOIN snapped s ON s.volume_id = v.id""",
)
