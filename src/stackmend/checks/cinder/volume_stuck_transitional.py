# SPDX-License-Identifier: Apache-2.0
"""A volume is stuck in a transitional status, and what it waits for does not exist.

## What is wrong
The volume is not being migrated, has not changed for a while, and is in a status that something else should end. The
`code` says which:

* `uploading`: it has been uploaded to an image for more than six hours;
* `retyping`: its type has been changed for more than six hours, without a migration;
* `extending`: it has been extended for more than an hour;
* `extend-failed`: it could not be extended, and still says so;
* `backing-up`: Cinder has no backup in creation of it;
* `backup-failed`: it could not be backed up, and still says so;
* `restoring`: Cinder has no backup that is being restored into it;
* `no-transfer`: it awaits a transfer, and Cinder has none.

A volume whose backup is stuck itself is part of that finding (`backup-stuck`). `maintenance` may be set on purpose,
and `error_restoring` says that the data is incomplete: neither is reported here.

## Why it matters
The volume can be neither attached, detached nor deleted.

## How it comes about
cinder-volume, cinder-backup or cinder-api died, or a message was lost. A cinder-volume that starts again settles only
volumes in `uploading` for which it had a row in `workers`.

## How to see it by hand
`openstack volume show <volume>`, `openstack volume backup list --all-projects`, `openstack volume transfer request list
--all-projects`; for an upload, `openstack image list --status saving`.

## Repair and its risk
`settle-volume` sets the status that the volume's attachments imply (`in-use` or `available`); after a restore that is
over, `error_restoring`, because its content may be partly old and partly new. After `extending`, compare the size on
the back end with the size in Cinder: a driver that finished has a larger volume than Cinder knows.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-stuck-transitional",
    catalogue="H16",
    severity=Severity.WARNING,
    message="volume {volume} has been {status} since {since}: {code}",
    codes={
        "uploading": "nobody completed its upload to an image",
        "retyping": "nobody completed the change of its type",
        "extending": "nobody completed its extension",
        "extend-failed": "its extension failed",
        "backing-up": "no backup of it is being created",
        "backup-failed": "its backup failed",
        "restoring": "no backup is being restored into it",
        "no-transfer": "it awaits a transfer that does not exist",
    },
    resource=("volume", "volume"),
    key=("volume",),
    needs=frozenset({"cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_backups": {"volume_id": "volume"},
        "cinder_restoring_backups": {"restore_volume_id": "volume"},
        "cinder_transfers": {"volume_id": "volume"},
    },
    ages={"grace": 3600, "upload": 21600},
    lasting=frozenset({"grace", "upload"}),
    settle=False,
    sql="""
        WITH stuck AS (
            SELECT id, project_id, host, status, previous_status, COALESCE(updated_at, created_at) AS since
              FROM cinder_volumes
             WHERE NOT deleted AND COALESCE(migration_status, 'success') IN ('success', 'error')
               AND status IN ('uploading', 'extending', 'error_extending', 'backing-up', 'error_backing-up',
                              'restoring-backup', 'awaiting-transfer', 'retyping')
               AND COALESCE(updated_at, created_at) < $grace
               AND (status NOT IN ('uploading', 'retyping') OR COALESCE(updated_at, created_at) < $upload)
        ), made AS (
            SELECT DISTINCT b.volume_id
              FROM cinder_backups b
              JOIN stuck v ON v.id = b.volume_id
             WHERE NOT b.deleted AND b.status = 'creating'
        ), restored AS (
            SELECT DISTINCT b.restore_volume_id AS volume_id
              FROM cinder_restoring_backups b
              JOIN stuck v ON v.id = b.restore_volume_id
        ), offered AS (
            SELECT DISTINCT t.volume_id FROM cinder_transfers t JOIN stuck v ON v.id = t.volume_id WHERE NOT t.deleted
        )
        SELECT v.id AS volume, v.project_id AS project, v.host AS backend, v.status AS status, v.since AS since,
               v.previous_status AS previous,
               CASE WHEN v.status = 'uploading' THEN 'uploading'
                    WHEN v.status = 'retyping' THEN 'retyping'
                    WHEN v.status = 'extending' THEN 'extending'
                    WHEN v.status = 'error_extending' THEN 'extend-failed'
                    WHEN v.status = 'backing-up' THEN 'backing-up'
                    WHEN v.status = 'error_backing-up' THEN 'backup-failed'
                    WHEN v.status = 'restoring-backup' THEN 'restoring'
                    ELSE 'no-transfer' END AS code
          FROM stuck v
          LEFT JOIN made m ON m.volume_id = v.id
          LEFT JOIN restored r ON r.volume_id = v.id
          LEFT JOIN offered o ON o.volume_id = v.id
         WHERE NOT (v.status = 'backing-up' AND m.volume_id IS NOT NULL)
           AND NOT (v.status = 'restoring-backup' AND r.volume_id IS NOT NULL)
           AND NOT (v.status = 'awaiting-transfer' AND o.volume_id IS NOT NULL)""",
)
