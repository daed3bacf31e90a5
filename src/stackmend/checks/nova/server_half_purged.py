# SPDX-License-Identifier: Apache-2.0
"""A live server has lost its `instance_extra` row, or its flavor in it.

## What is wrong
A server that is not deleted has no live row in `instance_extra` (`missing`, or `marked deleted` if one is left), a row
without a flavor (`no flavor`), or more than one live row (`duplicate`; nothing in the schema prevents that).

## Why it matters
Loading the server raises OrphanedObjectError: the API answers 500 to every list that contains it, for its whole
project. `nova-manage placement heal_allocations` stops at it.

## How it comes about
A purge script from a blog post: its statements commit one by one, delete the child rows of the server, and then fail at
`instances` because of a foreign key that the script ignores. Archiving in old releases also cut trees (fixed in
21.2.3).

## How to see it by hand
`SELECT id, deleted, flavor IS NOT NULL FROM instance_extra WHERE instance_uuid = '<server>';`

## Repair and its risk
A row that is only marked deleted is revived. Otherwise the row is copied from the shadow table, or else re-created with
the flavor in the request spec, provided that it has the server's own vCPUs, memory and disk. Nothing is deleted.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="server-half-purged",
    catalogue="B6",
    severity=Severity.ERROR,
    message="server {server} {code}",
    codes={
        "missing": "has lost its instance_extra row",
        "marked deleted": "has an instance_extra row that is marked deleted",
        "no flavor": "has lost the flavor in its instance_extra row",
        "duplicate": "has more than one live instance_extra row",
    },
    resource=("server", "server"),
    key=("server",),
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={
        "nova_instances": {"uuid": "server"},
        "nova_instance_extra": {"instance_uuid": "server"},
    },
    ages={"idle": 600},
    sql="""
        SELECT s.uuid AS server, s.cell, s.host, s.vm_state,
               COUNT(CASE WHEN NOT e.deleted THEN 1 END) AS live_rows, COUNT(e.id) AS all_rows,
               CASE WHEN COUNT(CASE WHEN NOT e.deleted THEN 1 END) > 1 THEN 'duplicate'
                    WHEN COUNT(CASE WHEN NOT e.deleted THEN 1 END) = 1 THEN 'no flavor'
                    WHEN COUNT(e.id) > 0 THEN 'marked deleted' ELSE 'missing' END AS code
          FROM servers s
          LEFT JOIN nova_instance_extra e ON e.instance_uuid = s.uuid AND e.cell = s.cell
         WHERE s.vm_state NOT IN ('building', 'deleted') AND NOT s.in_cell0 AND s.changed_at < $idle
         GROUP BY s.uuid, s.cell, s.host, s.vm_state
        HAVING COUNT(CASE WHEN NOT e.deleted THEN 1 END) <> 1
            OR COUNT(CASE WHEN NOT e.deleted AND e.has_flavor THEN 1 END) <> 1""",
)
