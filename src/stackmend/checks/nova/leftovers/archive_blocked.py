# SPDX-License-Identifier: Apache-2.0
"""A deleted server cannot be archived, because a table that Nova no longer uses refers to it.

## What is wrong
`fixed_ips` or `consoles`, tables of nova-network and XenAPI that the database still has, name a server that is marked
deleted. Both have a foreign key to `instances`, and `nova-manage db archive_deleted_rows` does not know them.

## Why it matters
Archiving moves servers in batches, oldest first, and one such row makes the whole batch fail. Since then no server is
archived any more, and the tables grow. Nova up to Xena (24) still knows these tables, so nothing is reported there.

## How it comes about
The cloud once used nova-network or XenAPI, and the rows were never cleaned up.

## How to see it by hand
`nova-manage db archive_deleted_rows --verbose` archives no `instances`, and its log has an IntegrityError that names
the table; `SELECT id, instance_uuid FROM fixed_ips WHERE instance_uuid = '<server>';`

## Repair and its risk
`unblock-archive` frees the address (`fixed_ips.instance_uuid` becomes NULL) and deletes the console. Nothing reads
these rows any more. Shares of deleted servers, which block archiving as well, are findings of
`server-deleted-incompletely`.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="archive-blocked",
    catalogue="B14",
    severity=Severity.WARNING,
    message="deleted server {server} cannot be archived: {blockers} row(s) in {tables} refer to it",
    resource=("server", "server"),
    key=("server", "cell"),
    reads={
        "nova_instances": {"uuid": "server"},
        "nova_archive_blockers": {"instance_uuid": "server"},
        "nova_services": {},
    },
    ages={"idle": 600},
    # 61: Yoga, the first release without models of these tables; older ones archive their rows with the server
    sql="""
        WITH blockers AS (
            SELECT cell, instance_uuid, COUNT(row_id) AS blockers,
                   CASE WHEN MIN(child) = MAX(child) THEN MIN(child) ELSE MIN(child) || ', ' || MAX(child) END AS tables
              FROM nova_archive_blockers
             GROUP BY cell, instance_uuid
        ), release AS (
            SELECT MAX(version) >= 61 AS forgets FROM nova_services WHERE NOT deleted
        )
        SELECT i.uuid AS server, i.cell, b.blockers, b.tables
          FROM blockers b
          JOIN nova_instances i ON i.uuid = b.instance_uuid AND i.cell = b.cell
         WHERE i.deleted AND COALESCE(i.deleted_at, i.updated_at, i.created_at) < $idle
           AND i.deleted IN (SELECT r.forgets FROM release r)""",
)
