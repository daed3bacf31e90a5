# SPDX-License-Identifier: Apache-2.0
"""A compute node has no resource provider.

## What is wrong
A cell has a live compute node of an enabled nova-compute, but Placement has no provider with its UUID.

## Why it matters
The scheduler never offers the host. Servers on it cannot be given allocations.

## How it comes about
The provider was deleted while nova-compute ran, Placement was restored from an older dump, or another provider has the
node's name (`provider-without-compute-node`), so that nova-compute cannot create its own (409).

## How to see it by hand
`openstack resource provider list --uuid <node>`, beside `openstack hypervisor list`.

## Repair and its risk
None by itself: nova-compute creates its provider when it starts. Restart it after any provider of the same name is
gone, then audit again: servers on the host have lost their allocations too.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="compute-node-without-provider",
    catalogue="E6",
    severity=Severity.ERROR,
    message="compute node {node} of host {host} has no resource provider: the scheduler never offers the host",
    resource=("host", "host"),
    key=("node", "cell"),
    needs=frozenset({"placement"}),
    reads={
        "nova_compute_nodes": {"uuid": "node"},
        "nova_services": {"host": "nova_compute_nodes.host"},
        "placement_resource_providers": {},
    },
    ages={"idle": 3600},
    explained_by={"provider-without-compute-node": {"taken": "provider"}},
    by_hand=(
        "restart nova-compute on host {host}, which creates the provider; then audit again, because servers on the host"
        " have no allocations"
    ),
    sql="""
        SELECT n.uuid AS node, n.cell, n.host, n.hypervisor_hostname, t.uuid AS taken
          FROM nova_compute_nodes n
          JOIN (SELECT DISTINCT cell, host FROM nova_services
                 WHERE NOT deleted AND "binary" = 'nova-compute' AND NOT COALESCE(disabled, FALSE)
                   AND NOT COALESCE(forced_down, FALSE)) v ON v.host = n.host AND v.cell = n.cell
          LEFT JOIN placement_resource_providers p ON p.uuid = n.uuid
          LEFT JOIN placement_resource_providers t ON t.name = n.hypervisor_hostname
         WHERE NOT n.deleted AND p.uuid IS NULL AND n.uuid IS NOT NULL AND n.hypervisor_type <> 'ironic'
           AND n.created_at < $idle""",
)
