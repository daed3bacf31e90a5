# SPDX-License-Identifier: Apache-2.0
"""Rows of a cell belong to a server that no longer exists.

## What is wrong
`tags`, `console_auth_tokens` (expired) or `instance_id_mappings` of a cell name a server of which no cell has a row and
which nova_api does not know either.

## Why it matters
Only the space: the tables grow.

## How it comes about
These tables have no foreign key to `instances`, so archiving does not follow them. Nova deletes their rows with the
server; a server that was marked deleted by SQL, and archived, leaves them behind.

## How to see it by hand
`SELECT resource_id, tag FROM tags WHERE resource_id = '<server>';` and `SELECT id, expires FROM console_auth_tokens
WHERE instance_uuid = '<server>';` in the cell, and `SELECT uuid FROM instances WHERE uuid = '<server>';` in every cell.

## Repair and its risk
`drop-orphaned-rows` deletes tags and tokens, and marks the EC2 id deleted, as Nova does with a server. Nothing is lost.
`volume_usage_cache` is left alone: it is accounting, and outlives servers by design.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER, existence

CHECK = Check(
    name="server-metadata-of-nobody",
    catalogue="B13",
    severity=Severity.INFO,
    message="{rows} row(s) in {tables} of {cell} belong to server {server}, which does not exist",
    resource=("server", "server"),
    key=("server", "cell"),
    needs=EVERY_SERVER,
    reads={**existence(), "nova_orphans": {"instance_uuid": "server"}},
    ages={"expired": 86400},
    lasting=frozenset({"expired"}),
    sql="""
        SELECT o.instance_uuid AS server, o.cell, COUNT(o.row_id) AS "rows",
               STRING_AGG(DISTINCT o.child, ', ' ORDER BY o.child) AS "tables"
          FROM nova_orphans o
          LEFT JOIN (SELECT DISTINCT uuid FROM nova_instances) i ON i.uuid = o.instance_uuid
          LEFT JOIN (SELECT DISTINCT uuid FROM existing_servers) e ON e.uuid = o.instance_uuid
         WHERE i.uuid IS NULL AND e.uuid IS NULL AND o.expires < EPOCH($expired)
         GROUP BY o.instance_uuid, o.cell""",
)
