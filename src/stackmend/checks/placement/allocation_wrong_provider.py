# SPDX-License-Identifier: Apache-2.0
"""A server holds capacity of a compute host it is not on.

## What is wrong
The server's allocation is on the provider of another compute node than its own, beside the right one (`both`) or in
its place (`only-wrong`).

## Why it matters
The host it is charged to looks full, the host it runs on is overcommitted.

## How it comes about
An evacuation whose source never came back, a server moved by SQL, a failed revert of a migration. The resource
tracker only logs it.

## How to see it by hand
`openstack resource provider allocation show <server>`, and the host of `openstack server show <server>` in
`openstack resource provider list`.

## Repair and its risk
`both`: the rows of the wrong tree are removed. `only-wrong`: the rows are moved to the right provider, for flat trees
alone; nested resources (VGPU, bandwidth, PCI) are left to Nova. Make sure of the host first (server-wrong-host).
Nothing is lost either way.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="allocation-wrong-provider",
    catalogue="E2",
    severity=Severity.ERROR,
    message="server {server} is on {host}, but holds capacity of {wrong_host} ({code})",
    resource=("server", "server"),
    key=("server", "wrong_provider"),
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
    # NULLIF, not <>: the planner may take an inequality between two tables for a way to join them
    sql="""
        WITH roots AS (
            SELECT r.id, o.uuid
              FROM placement_resource_providers r
              JOIN placement_resource_providers o ON o.id = r.root_provider_id),
        astray AS (
            SELECT DISTINCT s.uuid AS server, s.cell, s.host, n.uuid AS right_provider, w.uuid AS wrong_provider,
                   w.host AS wrong_host
              FROM idle_servers s
              JOIN nova_compute_nodes n ON n.cell = s.cell AND n.host = s.host AND n.hypervisor_hostname = s.node
              JOIN placement_allocations a ON a.consumer_id = s.uuid
              JOIN roots r ON r.id = a.resource_provider_id
              JOIN nova_compute_nodes w ON w.uuid = r.uuid
             WHERE NULLIF(w.uuid, n.uuid) IS NOT NULL AND NOT n.deleted AND n.hypervisor_type <> 'ironic'
               AND s.vm_state NOT IN ('resized', 'deleted') AND s.changed_at < $idle)
        SELECT t.server, t.cell, t.host, t.right_provider, t.wrong_provider, t.wrong_host,
               CASE WHEN MAX(g.uuid) IS NULL THEN 'only-wrong' ELSE 'both' END AS code
          FROM astray t
          JOIN placement_allocations a ON a.consumer_id = t.server
          LEFT JOIN roots g ON g.id = a.resource_provider_id AND g.uuid = t.right_provider
          LEFT JOIN nova_migrations e ON e.instance_uuid = t.server AND e.source_compute = t.wrong_host
               AND e.migration_type = 'evacuation' AND e.status IN ('accepted', 'pre-migrating', 'done')
         WHERE e.id IS NULL
         GROUP BY t.server, t.cell, t.host, t.right_provider, t.wrong_provider, t.wrong_host""",
)
