# SPDX-License-Identifier: Apache-2.0
"""Cinder counts another use of a quota than the project has.

## What is wrong
Cinder keeps how much a project uses in `quota_usages`. The number is not what its live volumes, snapshots and backups
add up to. The `code` says what is wrong:

* `too-high`: more is counted than there is;
* `too-low`: less is counted, or less than nothing;
* `reserved`: something is reserved, but no reservation exists.

Volumes that do not count (`use_quota`), such as destinations of migrations, are left out. Whether gigabytes include
snapshots depends on `no_snapshot_gb_quota`, so both sums are right. Volumes that are deleted incompletely may or may
not be counted: they have a finding of their own.

## Why it matters
A project is refused volumes although it has room, or gets more than its quota.

## How it comes about
A service died between the deletion of a volume and the commit of its reservation, rows were deleted by SQL, or two
requests raced for the same row (bugs 1484343, 1869749, 1847791).

## How to see it by hand
`openstack quota show --usage <project>`, and `cinder-manage quota check --project-id <project>`: read its output, its
exit code is always 0.

## Repair and its risk
`recount-cinder-quota` sets the numbers to what the rows add up to, as `cinder-manage quota sync --project-id <project>`
does. No volume is touched.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="cinder-quota-drift",
    catalogue="H20",
    severity=Severity.WARNING,
    message="Cinder counts {counted} {what} of project {project} as used, but there are {used}: {code}",
    codes={
        "too-high": "more is counted than there is",
        "too-low": "less is counted than there is",
        "reserved": "{reserved} more are reserved, but no reservation exists",
    },
    resource=("project", "project"),
    key=("project", "what"),
    needs=frozenset({"cinder"}),
    reads={
        "cinder_quota_usages": {"project_id": "project"},
        "cinder_quota_reservations": {"project_id": "project"},
        "cinder_volumes": {"project_id": "project"},
        "cinder_counted_snapshots": {"project_id": "project"},
        "cinder_backups": {"project_id": "project"},
        "cinder_leftover_children": {"volume_id": "cinder_volumes.id"},
        "cinder_volume_types": {},
    },
    ages={"grace": 900},
    sql="""
        WITH half AS (
            SELECT DISTINCT volume_id FROM cinder_leftover_children
        ), volumes AS (
            SELECT v.project_id, v.size, CASE WHEN v.deleted OR v.use_quota IS NULL THEN 0 ELSE 1 END AS sure,
                   t.name AS type
              FROM cinder_volumes v
              LEFT JOIN half h ON h.volume_id = v.id
              LEFT JOIN cinder_volume_types t ON t.id = v.volume_type_id
             WHERE COALESCE(v.use_quota, TRUE) AND (NOT v.deleted OR h.volume_id IS NOT NULL OR v.deleted_at IS NULL)
        ), snapshots AS (
            SELECT s.project_id, s.volume_size AS size, t.name AS type
              FROM cinder_counted_snapshots s
              LEFT JOIN cinder_volume_types t ON t.id = s.volume_type_id
        ), adds AS (
            SELECT project_id, 'volumes' AS what, sure AS least, 1 AS most FROM volumes
            UNION ALL
            SELECT project_id, 'gigabytes', sure * size, size FROM volumes
            UNION ALL
            SELECT project_id, 'volumes_' || type, sure, 1 FROM volumes WHERE type IS NOT NULL
            UNION ALL
            SELECT project_id, 'gigabytes_' || type, sure * size, size FROM volumes WHERE type IS NOT NULL
            UNION ALL
            SELECT project_id, 'snapshots', 1, 1 FROM snapshots
            UNION ALL
            SELECT project_id, 'gigabytes', 0, size FROM snapshots
            UNION ALL
            SELECT project_id, 'snapshots_' || type, 1, 1 FROM snapshots WHERE type IS NOT NULL
            UNION ALL
            SELECT project_id, 'gigabytes_' || type, 0, size FROM snapshots WHERE type IS NOT NULL
            UNION ALL
            SELECT project_id, 'backups', 1, 1 FROM cinder_backups WHERE NOT deleted
            UNION ALL
            SELECT project_id, 'backup_gigabytes', COALESCE(size, 0), COALESCE(size, 0)
              FROM cinder_backups WHERE NOT deleted
        ), summed AS (
            SELECT project_id, what, SUM(least) AS least, SUM(most) AS most FROM adds GROUP BY project_id, what
        ), waiting AS (
            SELECT DISTINCT usage_id FROM cinder_quota_reservations
        ), counted AS (
            SELECT u.project_id AS project, u.resource AS what, u.id AS usage, u.in_use AS counted,
                   u.reserved AS reserved, CAST(COALESCE(s.least, 0) AS BIGINT) AS used,
                   CAST(COALESCE(s.most, 0) AS BIGINT) AS most
              FROM cinder_quota_usages u
              LEFT JOIN summed s ON s.project_id = u.project_id AND s.what = u.resource
              LEFT JOIN waiting w ON w.usage_id = u.id
             WHERE w.usage_id IS NULL AND COALESCE(u.updated_at, u.created_at) < $grace
               AND (split_part(u.resource, '_', 1) IN ('volumes', 'gigabytes', 'snapshots')
                 OR u.resource IN ('backups', 'backup_gigabytes'))
        )
        SELECT project, what, usage, counted, reserved, used, most,
               CASE WHEN counted > most THEN 'too-high' WHEN counted < used THEN 'too-low' ELSE 'reserved' END AS code
          FROM counted
         WHERE counted > most OR counted < used OR reserved <> 0""",
)
