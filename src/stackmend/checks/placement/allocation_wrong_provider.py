# SPDX-License-Identifier: Apache-2.0
"""A server has allocations on a compute host other than its own.

## What is wrong
The server's allocation is on the provider of a compute node other than its own, in addition to the right one (code
`both`) or instead of it (`only-wrong`); or an offloaded server, which is on no host, still has one (`offloaded`).

## Why it matters
The host with the allocation looks full, and the host the server runs on is overcommitted.

## How it comes about
An evacuation whose source never came back, a server moved by SQL, a failed revert of a migration, or a failed unshelve
that was not cleaned up. The resource tracker only logs it. An allocation left by an evacuation is removed by
nova-compute on the source host when it starts; if that compute node is deleted, nothing removes it (page "Orphaned
resource allocations" of Nova's guide).

## How to see it by hand
`openstack resource provider allocation show <server>`, and the host of `openstack server show <server>` in `openstack
resource provider list`.

## Repair and its risk
The allocation on the wrong host is removed, and the right one is charged with the amounts of the flavor, for flat trees
only; nested resources (VGPU, bandwidth, PCI) are left to Nova. An offloaded server has no allocation afterwards. The
server's host is first verified against every record. Nothing is lost either way.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="allocation-wrong-provider",
    catalogue="E2",
    severity=Severity.ERROR,
    message="server {server} is {at}, but has an allocation on {wrong_host}{beside}",
    resource=("server", "server"),
    key=("server", "wrong_provider"),
    sight=guest(),
    needs=frozenset({"placement", "cells"}),
    hinders=frozenset({"move"}),
    reads={
        **idle(),
        "nova_compute_nodes": {},
        "placement_allocations": {"consumer_id": "server"},
        "placement_resource_providers": {},
    },
    spares=frozenset({"nova_compute_nodes.deleted"}),
    ages={"idle": 900},
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
    },
    # NULLIF, not <>: the planner may use an inequality between two tables as a join condition
    sql="""
        WITH roots AS (
            SELECT r.id, o.uuid
              FROM placement_resource_providers r
              JOIN placement_resource_providers o ON o.id = r.root_provider_id),
        astray AS (
            SELECT DISTINCT s.uuid AS server, s.cell, s.host, n.uuid AS right_provider, w.uuid AS wrong_provider,
                   w.host AS wrong_host, COALESCE(w.deleted, FALSE) AS source_gone
              FROM idle_servers s
              JOIN nova_compute_nodes n ON n.cell = s.cell AND n.host = s.host AND n.hypervisor_hostname = s.node
              JOIN placement_allocations a ON a.consumer_id = s.uuid
              JOIN roots r ON r.id = a.resource_provider_id
              JOIN nova_compute_nodes w ON w.uuid = r.uuid
             WHERE NULLIF(w.uuid, n.uuid) IS NOT NULL AND NOT n.deleted AND n.hypervisor_type <> 'ironic'
               AND s.vm_state NOT IN ('resized', 'deleted') AND s.changed_at < $idle)
        SELECT t.server, t.cell, t.host, t.right_provider, t.wrong_provider, t.wrong_host,
               CASE WHEN MAX(g.uuid) IS NULL THEN 'only-wrong' ELSE 'both' END AS code,
               'on ' || t.host AS at,
               CASE WHEN t.source_gone THEN ', whose compute node is deleted' ELSE '' END
               || CASE WHEN MAX(g.uuid) IS NULL THEN ', instead of its own host'
                       ELSE ', in addition to its own host' END AS beside
          FROM astray t
          JOIN placement_allocations a ON a.consumer_id = t.server
          LEFT JOIN roots g ON g.id = a.resource_provider_id AND g.uuid = t.right_provider
          LEFT JOIN nova_migrations e ON e.instance_uuid = t.server AND e.source_compute = t.wrong_host
               AND e.migration_type = 'evacuation' AND e.status IN ('accepted', 'pre-migrating', 'done')
               AND NOT t.source_gone
         WHERE e.id IS NULL
         GROUP BY t.server, t.cell, t.host, t.right_provider, t.wrong_provider, t.wrong_host, t.source_gone
        UNION ALL
        SELECT s.uuid, s.cell, s.host, NULL, r.uuid, MIN(COALESCE(w.host, r.uuid)), 'offloaded',
               'offloaded, on no host', ''
          FROM idle_servers s
          JOIN placement_allocations a ON a.consumer_id = s.uuid
          JOIN roots r ON r.id = a.resource_provider_id
          LEFT JOIN nova_compute_nodes w ON w.uuid = r.uuid
         WHERE s.vm_state = 'shelved_offloaded' AND s.host IS NULL AND NOT s.in_cell0 AND s.changed_at < $idle
         GROUP BY s.uuid, s.cell, s.host, r.uuid""",
)
