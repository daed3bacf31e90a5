# SPDX-License-Identifier: Apache-2.0
"""The archive of a cell keeps a great many servers that were deleted more than a year ago.

## What is wrong
A thousand or more servers in `shadow_instances` were deleted a year ago or earlier. Both numbers can be set for the
site (`[counts.archived-rows-unpurged] many`, `[ages.archived-rows-unpurged] kept`).

## Why it matters
Only the space. Nova reads nothing in the archive; each server in it has dozens of rows in the other `shadow_` tables,
and backups and restores of the database carry them all.

## How it comes about
`nova-manage db archive_deleted_rows` runs without `--purge`, and nobody runs `nova-manage db purge`.

## How to see it by hand
In the cell: `SELECT COUNT(*), MIN(deleted_at) FROM shadow_instances WHERE deleted_at < '<date>';`

## Repair and its risk
By hand, with Nova's own command, which deletes the rows of all `shadow_` tables that are older than the date. They are
gone for good: ask first whether billing or the law wants them kept, and waive the finding if so.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="archived-rows-unpurged",
    catalogue="B5",
    severity=Severity.INFO,
    message="the archive of {cell} keeps {number} server(s) that were deleted before {before}, the first at {oldest}",
    resource=("cell", "cell"),
    key=("cell",),
    needs=frozenset({"cells"}),
    reads={"nova_kept_archived": {}},
    ages={"kept": 365 * 86400},
    lasting=frozenset({"kept"}),
    counts={"many": 1000},
    settle=False,
    by_hand="if nobody needs them any more: nova-manage db purge --all-cells --before {before}",
    sql="""
        SELECT a.cell, CAST(SUM(a.number) AS BIGINT) AS number, MIN(a.oldest) AS oldest,
               CAST(CAST($kept AS DATE) AS VARCHAR) AS before
          FROM nova_kept_archived a
         WHERE a.newest < $kept
         GROUP BY a.cell
        HAVING SUM(a.number) >= $many""",
)
