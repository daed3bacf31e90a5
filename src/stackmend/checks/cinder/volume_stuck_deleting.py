# SPDX-License-Identifier: Apache-2.0
"""A volume is stuck in deleting.

## What is wrong
The volume has been in status `deleting` for more than an hour, and its row has not changed since. The `code` says how
far it came:

* `no-worker`: Cinder has no record that a service works on it, so no service will resume the deletion when it starts;
* `worker`: Cinder has such a record: a cinder-volume that starts again resumes the deletion.

A volume that a service began to delete less than a day ago is left alone while that service sends heartbeats: it may
be overwriting the data (`volume_clear`).

## Why it matters
The volume cannot be deleted again, and it counts against the quota of its project.

## How it comes about
cinder-volume died or lost its message queue while it worked on the request, or the request never arrived.

## How to see it by hand
`openstack volume show <volume>`, `openstack volume service list`, and in Cinder's database `SELECT id, status
FROM workers WHERE resource_id = '<volume>'`. On the host of the back end, look for the volume in the log of
cinder-volume.

## Repair and its risk
With a record of work, restarting cinder-volume on the volume's back end is enough. `fail-volume-deletion` sets the
status to `error`; the owner can then delete the volume again, and drivers treat missing data as deleted. Never set it
to `available`: the data may be partly deleted, and the key of an encrypted volume is deleted before its data.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-stuck-deleting",
    catalogue="H14",
    severity=Severity.WARNING,
    message="volume {volume} ({size} GB) has been deleting since {since}: {code}",
    codes={
        "no-worker": "Cinder has no record that a service works on it",
        "worker": "the service that was to delete it has not finished",
    },
    resource=("volume", "volume"),
    key=("volume",),
    needs=frozenset({"cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_workers": {"resource_id": "volume"},
        "cinder_services": {},
    },
    ages={"grace": 3600, "clearing": 86400, "alive": 600},
    lasting=frozenset({"grace", "clearing", "alive"}),
    settle=False,
    sql="""
        WITH stuck AS (
            SELECT id, project_id, host, size, COALESCE(updated_at, created_at) AS since
              FROM cinder_volumes
             WHERE NOT deleted AND status = 'deleting' AND COALESCE(updated_at, created_at) < $grace
               AND COALESCE(migration_status, 'success') IN ('success', 'error')
        ), work AS (
            SELECT w.resource_id, COUNT(*) AS records,
                   COUNT(CASE WHEN s.updated_at > $alive AND COALESCE(w.updated_at, w.created_at) > $clearing
                              THEN 1 END) AS busy
              FROM cinder_workers w
              JOIN stuck v ON v.id = w.resource_id
              LEFT JOIN cinder_services s ON s.id = w.service_id AND NOT s.deleted
             GROUP BY w.resource_id
        )
        SELECT v.id AS volume, v.project_id AS project, v.host AS backend, v.size AS size, v.since AS since,
               CASE WHEN w.resource_id IS NULL THEN 'no-worker' ELSE 'worker' END AS code
          FROM stuck v
          LEFT JOIN work w ON w.resource_id = v.id
         WHERE COALESCE(w.busy, 0) = 0""",
)
