# SPDX-License-Identifier: Apache-2.0
"""A backup counts the wrong number of incremental backups that depend on it.

## What is wrong
Cinder counts in `backups.num_dependent_backups` how many incremental backups refer to a backup. It is not the number of
live backups whose parent it is. The `code` says which is greater:

* `too-low`: Cinder allows a backup to be deleted on which others depend;
* `too-high`: Cinder refuses to delete a backup on which nothing depends.

## Why it matters
A chain of incremental backups without its base cannot be restored. A backup that cannot be deleted counts against the
quota.

## How it comes about
Two backups were created or deleted at the same moment, and one update of the counter was lost (bug 2163042); or a
backup was deleted by SQL.

## How to see it by hand
`openstack volume backup show <backup>` shows `has_dependent_backups`; in Cinder's database, `SELECT id,
num_dependent_backups FROM backups WHERE id = '<backup>'` and `SELECT COUNT(*) FROM backups WHERE parent_id = '<backup>'
AND deleted = 0`.

## Repair and its risk
`recount-dependent-backups` sets the counter. Nothing else is changed.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="backup-dependent-count-drift",
    catalogue="H19",
    severity=Severity.WARNING,
    message="backup {backup} of volume {volume} counts {counted} dependent backup(s), but {dependent} refer to it:"
    " {code}",
    codes={
        "too-low": "Cinder allows to delete it although others depend on it",
        "too-high": "Cinder refuses to delete it although fewer depend on it",
    },
    resource=("backup", "backup"),
    key=("backup",),
    needs=frozenset({"cinder"}),
    # the children are read for the row of the finding: their parent is its key
    reads={
        "cinder_backups": {"id": "backup"},
        "cinder_dependent_backups": {"parent_id": "backup"},
    },
    ages={"grace": 3600},
    settle=False,
    # a child in creation is counted at its end, one in deletion until its end; a failed one was never counted
    sql="""
        WITH children AS (
            SELECT parent_id, COUNT(CASE WHEN status NOT IN ('creating', 'error') THEN 1 END) AS dependent,
                   COUNT(CASE WHEN status IN ('creating', 'deleting', 'error', 'error_deleting')
                                OR COALESCE(updated_at, created_at) >= $grace THEN 1 END) AS unsettled
              FROM cinder_dependent_backups
             GROUP BY parent_id
        )
        SELECT b.id AS backup, b.volume_id AS volume, b.project_id AS project,
               COALESCE(b.num_dependent_backups, 0) AS counted, COALESCE(c.dependent, 0) AS dependent,
               CASE WHEN COALESCE(b.num_dependent_backups, 0) < COALESCE(c.dependent, 0) THEN 'too-low'
                    ELSE 'too-high' END AS code
          FROM cinder_backups b
          LEFT JOIN children c ON c.parent_id = b.id
         WHERE NOT b.deleted AND COALESCE(c.unsettled, 0) = 0 AND COALESCE(b.updated_at, b.created_at) < $grace
           AND COALESCE(b.num_dependent_backups, 0) <> COALESCE(c.dependent, 0)""",
)
