# SPDX-License-Identifier: Apache-2.0
"""A backup of a volume is stuck in creating, restoring or deleting.

## What is wrong
No cinder-backup works on the backup any more. The `code` says why that is known:

* `service-silent`: the backup has not changed for an hour, and the cinder-backup on its host has sent no heartbeat for
  ten minutes, or there is none;
* `service-idle`: its service lives, but the backup has not changed for a day.

## Why it matters
The volume stays in `backing-up` or `restoring-backup` and can be neither attached, detached nor deleted. After a
restore that was cut off its content is partly old and partly new.

## How it comes about
cinder-backup died, or its host did. When it starts again under the same name, it settles its own backups; it does not
come back under another one.

## How to see it by hand
`openstack volume backup show <backup>`, `openstack volume service list --service cinder-backup`, and `openstack volume
show <volume>`.

## Repair and its risk
If the service can be started again on its host, that is best. `settle-backup` does in the database what it would do
then: a backup in creation becomes `error`, a restored one `available` again and the volume that it was restored into
`error_restoring`; the volume and the snapshot that were backed up get their status back. A backup whose deletion was
cut off becomes `error` and can be deleted again. A backup in creation is never set to `available`: it is incomplete.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="backup-stuck",
    catalogue="H18",
    severity=Severity.WARNING,
    message="backup {backup} of volume {volume} ({size} GB) has been {status} since {since}: {code}",
    codes={
        "service-silent": "cinder-backup on {host} does not run",
        "service-idle": "cinder-backup on {host} runs, but the backup has not changed for a day",
    },
    resource=("backup", "backup"),
    key=("backup",),
    needs=frozenset({"cinder"}),
    reads={"cinder_backups": {"id": "backup"}, "cinder_services": {}},
    ages={"grace": 3600, "idle": 86400, "alive": 600},
    lasting=frozenset({"grace", "idle", "alive"}),
    settle=False,
    sql="""
        WITH alive AS (
            SELECT DISTINCT host
              FROM cinder_services
             WHERE NOT deleted AND "binary" = 'cinder-backup' AND COALESCE(updated_at, created_at) >= $alive
        )
        SELECT b.id AS backup, b.volume_id AS volume, b.project_id AS project, b.host AS host, b.size AS size,
               b.status AS status, b.restore_volume_id AS restored, COALESCE(b.updated_at, b.created_at) AS since,
               CASE WHEN a.host IS NULL THEN 'service-silent' ELSE 'service-idle' END AS code
          FROM cinder_backups b
          LEFT JOIN alive a ON a.host = b.host
         WHERE NOT b.deleted AND b.status IN ('creating', 'restoring', 'deleting')
           AND COALESCE(b.updated_at, b.created_at) < $grace
           AND (a.host IS NULL OR COALESCE(b.updated_at, b.created_at) < $idle)""",
)
