# SPDX-License-Identifier: Apache-2.0
"""Glance keeps a great many rows of images that were deleted long ago.

## What is wrong
A thousand or more rows of locations, properties, members and tags of images, and of tasks, have been marked deleted for
half a year or longer, and nobody has purged them. Both numbers can be set for the site
(`[counts.glance-rows-unpurged] many`, `[ages.glance-rows-unpurged] kept`).

## Why it matters
Only the space. Glance never removes a row by itself; each image, and each snapshot of a server, leaves a dozen.

## How it comes about
No timer runs `glance-manage db purge`.

## How to see it by hand
`SELECT COUNT(*), MIN(deleted_at) FROM image_properties WHERE deleted = 1 AND deleted_at < '<date>';`

## Repair and its risk
By hand, with Glance's own command, which deletes these rows and leaves those of `images`. Do not remove these as
well: `glance-manage db purge_images_table` makes the ids of deleted images free for anybody, while servers and volumes
still name them (OSSN-0075, `image-id-reuse-risk`).
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="glance-rows-unpurged",
    catalogue="J6",
    severity=Severity.INFO,
    message="{service} keeps {number} row(s) that were marked deleted before {before}, the first at {oldest}: {tables}",
    resource=("service", "service"),
    key=("service",),
    needs=frozenset({"glance"}),
    reads={"glance_kept_deleted": {}},
    ages={"kept": 180 * 86400},
    lasting=frozenset({"kept"}),
    counts={"many": 1000},
    settle=False,
    by_hand=(
        "glance-manage db purge --age_in_days {days} --max_rows 10000, until it deletes nothing more (-1 in place of"
        " 10000 takes all at once). Leave out purge_images_table: it frees ids that servers and volumes still name"
    ),
    sql="""
        WITH kept AS (
            SELECT child, SUM(number) AS number, MIN(oldest) AS oldest
              FROM glance_kept_deleted
             WHERE newest < $kept
             GROUP BY child)
        SELECT 'glance' AS service, CAST(SUM(k.number) AS BIGINT) AS number, MIN(k.oldest) AS oldest,
               STRING_AGG(k.child || ' ' || CAST(k.number AS VARCHAR), ', ' ORDER BY k.child) AS "tables",
               CAST(CAST($kept AS DATE) AS VARCHAR) AS before,
               CAST((EPOCH($now) - EPOCH($kept)) / 86400 AS BIGINT) AS days
          FROM kept k
        HAVING SUM(k.number) >= $many""",
)
