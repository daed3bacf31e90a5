# SPDX-License-Identifier: Apache-2.0
"""A server is not being resized, but its row still has what only a resize or move needs.

## What is wrong
The row of the server in `instance_extra` has a migration context, or the flavors before and after a resize. No
migration of the server is in progress, and no resize awaits its confirmation. The `code` says more:

* `context`: a migration context: what the server had, and was to get, on the two hosts of a move;
* `flavors`: the old or the new flavor of a resize, and perhaps a context;
* `failed`: either of them, and the server is in ERROR.

This is what the rows show. What such a move leaves on hosts is found by others: the directory `<server>_resize` by
`resize-disk-leftover` and `instance-dir-orphan`, a guest that is still defined on the former host by `domain-undead`,
the allocation of the migration in Placement by `allocation-orphan`. Nobody looks for a snapshot `nova-resize` in
Ceph.

## Why it matters
While another migration of the server is in progress, nova-compute compares it with the context, sets it to `error`,
and does not count what it uses (`_update_usage_from_migrations`): a live migration that runs well looks failed. The
rows also show that a resize ended halfway, so that the former host may have a copy of the disk.

## How it comes about
The confirmation of a resize failed halfway (bug 1821594), a resize failed after the new flavor was noted, or an
operator set the state of a server or migration by hand. Nova cleans up only when a server is deleted
(`_cleanup_incomplete_migrations`).

## How to see it by hand
`SELECT flavor, migration_context FROM instance_extra WHERE instance_uuid = '<server>';`: `old`, `new` and
`migration_context` should be null. `openstack server migration list --server <server>` shows how the moves ended.

## Repair and its risk
`clear-resize-leftover` removes the context and both flavors from the row. First look on the former host, the
`source_compute` of the last migration: the disk in use must not be the one in `<server>_resize`. A server in ERROR is
refused: the old flavor may be needed to revert the resize. Setting the state with `openstack server set --state`
removes nothing.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="resize-leftover",
    catalogue="C7",
    severity=Severity.WARNING,
    message="server {server} on {host} is {vm_state} and no migration of it is in progress, but its row {code}",
    codes={
        "context": "has the context of a migration",
        "flavors": "has the flavors of a resize",
        "failed": "has what a failed resize or move needed",
    },
    resource=("server", "server"),
    key=("server",),
    sight=guest(),
    needs=frozenset({"cells"}),
    reads={**idle(), "nova_instance_extra": {"instance_uuid": "server"}},
    ages={"idle": 3600},
    sql="""
        WITH kept AS (
            SELECT cell, instance_uuid, BOOL_OR(COALESCE(resizing, FALSE)) AS resizing
              FROM nova_instance_extra
             WHERE NOT deleted AND (resizing OR moving)
             GROUP BY cell, instance_uuid)
        SELECT s.uuid AS server, s.cell, s.project_id AS project, s.host, s.vm_state,
               CASE WHEN s.vm_state = 'error' THEN 'failed'
                    WHEN k.resizing THEN 'flavors'
                    ELSE 'context' END AS code
          FROM kept k
          JOIN idle_servers s ON s.uuid = k.instance_uuid AND s.cell = k.cell
         WHERE s.changed_at < $idle AND s.vm_state NOT IN ('resized', 'soft-delete')""",
)
