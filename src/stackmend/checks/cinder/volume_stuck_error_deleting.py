# SPDX-License-Identifier: Apache-2.0
"""A volume is stuck in error_deleting.

## What is wrong
The volume is in status `error_deleting`: the back end refused to delete it.

## Why it matters
It can be neither used nor deleted, it still counts against its owner's quota, and it may or may not still use space on
the back end.

## How it comes about
The image on the back end was busy (snapshots, clones, a watcher left by a dead host), or the driver was not
initialised; or somebody had removed the data by hand first.

## How to see it by hand
`openstack volume show <volume>`, the fault in `openstack volume message list`, and the volume on the back end: for
Ceph `rbd info <pool>/volume-<id>` and `rbd status`, for LVM `lvs`. If `_name_id` is set, the back end has the volume
under that name.

## Repair and its risk
The first choice is Cinder itself: fix the cause and run `openstack volume delete --force`; drivers treat a missing
object as deleted, and the quota is corrected. `mark-volume-deleted` does in the database what Cinder does after the
driver has succeeded, with all child rows and the quota. It removes the last record of the data, so verify first that
the back end has none. Do not reset an encrypted volume to `available`: Cinder deletes the key before the data, and the
content may be unreadable for good. `UPDATE volumes SET deleted=1` alone leaves the quota in use and stops
`cinder-manage db purge`.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-stuck-error-deleting",
    catalogue="H3",
    severity=Severity.WARNING,
    message="volume {volume} ({size} GB) could not be deleted: it has been in error_deleting since {since}",
    resource=("volume", "volume"),
    key=("volume",),
    sight=disk(),
    needs=frozenset({"cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume"},
        "cinder_snapshots": {"volume_id": "volume"},
    },
    ages={"grace": 600},
    settle=False,
    sql="""
        WITH stuck AS (
            SELECT id, project_id, host, size, encrypted, COALESCE(updated_at, created_at) AS since
              FROM cinder_volumes
             WHERE NOT deleted AND status = 'error_deleting' AND COALESCE(updated_at, created_at) < $grace
               AND COALESCE(migration_status, 'success') IN ('success', 'error')
        ), attached AS (
            SELECT a.volume_id, COUNT(*) AS n
              FROM cinder_volume_attachment a JOIN stuck v ON v.id = a.volume_id
             WHERE NOT a.deleted GROUP BY a.volume_id
        ), snapped AS (
            SELECT s.volume_id, COUNT(*) AS n
              FROM cinder_snapshots s JOIN stuck v ON v.id = s.volume_id
             WHERE NOT s.deleted GROUP BY s.volume_id
        )
        SELECT v.id AS volume, v.project_id AS project, v.host AS backend, v.size AS size, v.encrypted AS encrypted,
               v.since AS since, 'back-end-refused' AS code, COALESCE(a.n, 0) AS attachments,
               COALESCE(s.n, 0) AS snapshots
          FROM stuck v
          LEFT JOIN attached a ON a.volume_id = v.id
          LEFT JOIN snapped s ON s.volume_id = v.id""",
)
