# SPDX-License-Identifier: Apache-2.0
"""A cell keeps a great many rows of servers that were deleted long ago.

## What is wrong
A thousand or more rows of `instances`, `block_device_mapping`, `instance_faults` and `instance_id_mappings` have been
marked deleted for half a year or longer, and nobody has archived them. Both numbers can be set for the site
(`[counts.deleted-rows-unarchived] many`, `[ages.deleted-rows-unarchived] kept`).

## Why it matters
Nova never removes a row by itself. Each deleted server leaves dozens of rows, and each detached volume one. Backups,
upgrades and lists of all servers become slower with them.

## How it comes about
No timer runs `nova-manage db archive_deleted_rows`, or it fails: see `archive-blocked`.

## How to see it by hand
In the cell: `SELECT COUNT(*), MIN(deleted_at) FROM instances WHERE deleted <> 0 AND deleted_at < '<date>';`

## Repair and its risk
By hand, with Nova's own command; nothing else knows all tables. It moves the rows into `shadow_` tables, with
everything that belongs to a server, and removes the mappings and request specs of archived servers from nova_api. Keep
rows that billing still reads: `--before` spares younger ones. Run it regularly.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="deleted-rows-unarchived",
    catalogue="B5",
    severity=Severity.INFO,
    message="{cell} keeps {number} row(s) that were marked deleted before {before}, the first at {oldest}: {tables}",
    resource=("cell", "cell"),
    key=("cell",),
    needs=frozenset({"cells"}),
    reads={"nova_kept_deleted": {}},
    ages={"kept": 180 * 86400},
    lasting=frozenset({"kept"}),
    counts={"many": 1000},
    settle=False,
    by_hand=(
        "nova-manage db archive_deleted_rows --all-cells --until-complete --sleep 1 --before {before}. If that archives"
        " no instances, see archive-blocked. Purge the archive when nobody needs it: nova-manage db purge --all-cells"
        " --before DATE"
    ),
    sql="""
        WITH kept AS (
            SELECT cell, child, SUM(number) AS number, MIN(oldest) AS oldest
              FROM nova_kept_deleted
             WHERE newest < $kept
             GROUP BY cell, child)
        SELECT k.cell, CAST(SUM(k.number) AS BIGINT) AS number, MIN(k.oldest) AS oldest,
               STRING_AGG(k.child || ' ' || CAST(k.number AS VARCHAR), ', ' ORDER BY k.child) AS "tables",
               CAST(CAST($kept AS DATE) AS VARCHAR) AS before
          FROM kept k
         GROUP BY k.cell
        HAVING SUM(k.number) >= $many""",
)
