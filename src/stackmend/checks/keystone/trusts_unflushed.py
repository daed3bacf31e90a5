# SPDX-License-Identifier: Apache-2.0
"""Keystone keeps a great many trusts that were deleted, or expired, long ago.

## What is wrong
A thousand or more trusts have been marked deleted, or have been expired, for half a year or longer. Both numbers can be
set for the site (`[counts.trusts-unflushed] many`, `[ages.trusts-unflushed] kept`).

## Why it matters
Only the space. Heat, Magnum and others make trusts for each stack or cluster, and Keystone never removes one by itself.

## How it comes about
No timer runs `keystone-manage trust_flush` (since Stein).

## How to see it by hand
`SELECT COUNT(*), MIN(COALESCE(deleted_at, expires_at)) FROM trust WHERE COALESCE(deleted_at, expires_at) < '<date>';`

## Repair and its risk
By hand, with Keystone's own command, which deletes trusts that expired before the date, and all that are marked
deleted. Neither can be used any more.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="trusts-unflushed",
    catalogue="K1",
    severity=Severity.INFO,
    message="{service} keeps {number} trust(s) that ended before {before}, the first at {oldest}: {tables}",
    resource=("service", "service"),
    key=("service",),
    needs=frozenset({"keystone"}),
    reads={"keystone_kept_trusts": {}},
    ages={"kept": 180 * 86400},
    lasting=frozenset({"kept"}),
    counts={"many": 1000},
    settle=False,
    by_hand="keystone-manage trust_flush --date {reversed}",
    sql="""
        WITH kept AS (
            SELECT child, SUM(number) AS number, MIN(oldest) AS oldest
              FROM keystone_kept_trusts
             WHERE newest < $kept
             GROUP BY child)
        SELECT 'keystone' AS service, CAST(SUM(k.number) AS BIGINT) AS number, MIN(k.oldest) AS oldest,
               STRING_AGG(k.child || ' ' || CAST(k.number AS VARCHAR), ', ' ORDER BY k.child) AS "tables",
               CAST(CAST($kept AS DATE) AS VARCHAR) AS before,
               SUBSTR(CAST($kept AS VARCHAR), 9, 2) || '-' || SUBSTR(CAST($kept AS VARCHAR), 6, 2) || '-'
                   || SUBSTR(CAST($kept AS VARCHAR), 1, 4) AS reversed
          FROM kept k
        HAVING SUM(k.number) >= $many""",
)
