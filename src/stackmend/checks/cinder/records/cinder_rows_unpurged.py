# SPDX-License-Identifier: Apache-2.0
"""Cinder keeps a great many rows that were marked deleted long ago.

## What is wrong
A thousand or more rows of `volumes`, `snapshots`, `backups`, `volume_attachment`, `volume_glance_metadata` and
`reservations` have been marked deleted for half a year or longer, and nobody has purged them. Both numbers can be set
for the site (`[counts.cinder-rows-unpurged] many`, `[ages.cinder-rows-unpurged] kept`).

## Why it matters
Cinder never removes a row by itself. Each volume that is created or deleted leaves two or more reservations, each
attachment a row. Lists, quotas and backups of the database become slower with them.

## How it comes about
No timer runs `cinder-manage db purge`, or it fails: a live child of a deleted row ends the whole run, see
`volume-deleted-incompletely`, `snapshot-deleted-incompletely`, `backup-deleted-incompletely` and
`attachment-deleted-incompletely`.

## How to see it by hand
`SELECT COUNT(*), MIN(deleted_at) FROM reservations WHERE deleted = 1 AND deleted_at < '<date>';`

## Repair and its risk
By hand, with Cinder's own command, which deletes the rows of all tables. They are gone for good, also for
`openstack volume list --deleted` and for billing that reads the database. Nova's records of deleted servers may still
name these volumes.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="cinder-rows-unpurged",
    catalogue="H21",
    severity=Severity.INFO,
    message="{service} keeps {number} row(s) that were marked deleted before {before}, the first at {oldest}: {tables}",
    resource=("service", "service"),
    key=("service",),
    needs=frozenset({"cinder"}),
    reads={"cinder_kept_deleted": {}},
    ages={"kept": 180 * 86400},
    lasting=frozenset({"kept"}),
    counts={"many": 1000},
    settle=False,
    by_hand=(
        "cinder-manage db purge {days}; if it ends with an error, repair what the checks *-deleted-incompletely find"
        " and run it again"
    ),
    sql="""
        WITH kept AS (
            SELECT child, SUM(number) AS number, MIN(oldest) AS oldest
              FROM cinder_kept_deleted
             WHERE newest < $kept
             GROUP BY child)
        SELECT 'cinder' AS service, CAST(SUM(k.number) AS BIGINT) AS number, MIN(k.oldest) AS oldest,
               STRING_AGG(k.child || ' ' || CAST(k.number AS VARCHAR), ', ' ORDER BY k.child) AS "tables",
               CAST(CAST($kept AS DATE) AS VARCHAR) AS before,
               CAST((EPOCH($now) - EPOCH($kept)) / 86400 AS BIGINT) AS days
          FROM kept k
        HAVING SUM(k.number) >= $many""",
)
