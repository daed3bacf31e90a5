# SPDX-License-Identifier: Apache-2.0
"""Placement still has the resource provider of a compute node that is gone.

## What is wrong
A provider without a parent belonged to Nova, but no cell has a live compute node with its UUID: a live node with
another UUID has its name (code `name-conflict`); or it has inventories, and its node is marked deleted
(`deleted-node`), or unknown, so that only the trait `COMPUTE_NODE` shows whose provider it was (`unknown`).

## Why it matters
The scheduler offers a host that does not exist, and builds fail. If the machine was installed again under its old name,
nova-compute cannot create its provider (409), and the new host is never used.

## How it comes about
A compute service was deleted while servers or migrations still held allocations (bugs 1817833 and 1811726), by SQL, or
the machine was installed again without its old `compute_id` file.

## How to see it by hand
`openstack resource provider list --name <name>`, beside `SELECT uuid, host, deleted FROM compute_nodes WHERE
hypervisor_hostname = '<name>';` in each cell.

## Repair and its risk
None by itself: `openstack resource provider delete <provider>` deletes it, nested providers first. Placement refuses
while anybody holds allocations on it: other checks find those. Nothing is lost, because nova-compute creates the
provider anew if the node comes back.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER

CHECK = Check(
    name="provider-without-compute-node",
    catalogue="E5",
    severity=Severity.WARNING,
    message="resource provider {provider} ({name}): {code}",
    codes={
        "deleted-node": "its compute node is deleted",
        "name-conflict": "the compute node of that name has another UUID, {node}",
        "unknown": "no cell has a compute node with that UUID",
    },
    resource=("provider", "provider"),
    key=("provider", "number"),
    needs=EVERY_SERVER | {"placement"},
    reads={
        "nova_compute_nodes": {},
        "placement_resource_providers": {"root_provider_id": "number"},
        "placement_compute_traits": {"resource_provider_id": "number"},
        "placement_inventories": {"resource_provider_id": "number"},
        "placement_allocations": {"resource_provider_id": "placement_resource_providers.id"},
    },
    explained_by={
        "server-on-nonexistent-host": {"server": "server"},
        "allocation-wrong-provider": {"server": "server"},
    },
    by_hand=(
        "when nobody holds allocations on it any more: openstack resource provider delete {provider} (nested providers"
        " first: openstack resource provider list --in-tree {provider})"
    ),
    sql="""
        WITH ghosts AS (
            SELECT p.id, p.uuid, p.name, n.uuid AS node, d.uuid IS NOT NULL AS marked
              FROM placement_resource_providers p
              LEFT JOIN (SELECT DISTINCT uuid FROM nova_compute_nodes WHERE NOT deleted) l ON l.uuid = p.uuid
              LEFT JOIN (SELECT DISTINCT uuid FROM nova_compute_nodes WHERE deleted) d ON d.uuid = p.uuid
              LEFT JOIN (SELECT hypervisor_hostname, MIN(uuid) AS uuid FROM nova_compute_nodes
                          WHERE NOT deleted GROUP BY hypervisor_hostname) n ON n.hypervisor_hostname = p.name
              LEFT JOIN (SELECT DISTINCT resource_provider_id FROM placement_compute_traits) t
                ON t.resource_provider_id = p.id
              LEFT JOIN (SELECT DISTINCT resource_provider_id FROM placement_inventories) s
                ON s.resource_provider_id = p.id
             WHERE p.parent_provider_id IS NULL AND p.root_provider_id = p.id AND l.uuid IS NULL
               AND (n.uuid IS NOT NULL
                    OR (s.resource_provider_id IS NOT NULL
                        AND (d.uuid IS NOT NULL OR t.resource_provider_id IS NOT NULL)))),
        held AS (
            SELECT g.id, MIN(a.consumer_id) AS server
              FROM ghosts g
              JOIN placement_resource_providers t ON t.root_provider_id = g.id
              JOIN placement_allocations a ON a.resource_provider_id = t.id
             GROUP BY g.id)
        SELECT g.uuid AS provider, g.id AS number, g.name, COALESCE(g.node, '') AS node, h.server,
               CASE WHEN g.node IS NOT NULL THEN 'name-conflict' WHEN g.marked THEN 'deleted-node'
                    ELSE 'unknown' END AS code
          FROM ghosts g
          LEFT JOIN held h ON h.id = g.id""",
)
