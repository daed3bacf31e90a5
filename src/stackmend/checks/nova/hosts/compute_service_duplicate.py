# SPDX-License-Identifier: Apache-2.0
"""One machine is registered as more than one compute host, or only by half.

## What is wrong
`services` and `compute_nodes` of all cells do not say of each other what they should. The `code` says what is wrong:

* `two-hosts`: two hosts have a compute node of the same machine (`hypervisor_hostname`);
* `two-nodes`: one host has two compute nodes, though it is not a host of Ironic;
* `two-cells`: two cells have a nova-compute of the same host;
* `no-node`: a nova-compute has no compute node, and no servers (with servers: `server-on-nonexistent-host`);
* `no-service`: likewise, a compute node has no nova-compute.

## Why it matters
The scheduler counts a machine twice. nova-compute cannot report if another host has the resource provider with the name
of its machine (409), and servers of the other name can be neither moved nor deleted.

## How it comes about
The machine was renamed or installed anew (bug 1419785), nova.conf has another `host` or the transport URL of another
cell, or a service was deleted by a release that left its compute node (bugs 1839560, 1853159).

## How to see it by hand
`openstack compute service list --service nova-compute`, beside `openstack hypervisor list --long`.

## Repair and its risk
None, because the rows do not tell which name is right: the file `compute_id` in the state folder of nova-compute has
the uuid of the right compute node. Move the servers of the wrong one first. Never delete the service of a host that has
guests: nova-compute then refuses to start again. Hosts of Ironic are left alone: their nodes move between services.
"""

from stackmend.model.check import Check, Obstacle, Severity

CHECK = Check(
    name="compute-service-duplicate",
    catalogue="C9",
    severity=Severity.ERROR,
    message="compute host {host}: {code}",
    codes={
        "two-hosts": "{other} has a compute node of the same machine, {node}",
        "two-nodes": "it has {many} compute nodes, among them {node} and {other}",
        "two-cells": "{cell} and {other} have a nova-compute of it",
        "no-node": "{cell} has its nova-compute, but no compute node",
        "no-service": "{cell} has its compute node {node}, but no nova-compute",
    },
    resource=("host", "host"),
    key=("host", "node", "code"),
    needs=frozenset({"cells"}),
    reads={"nova_services": {}, "nova_compute_nodes": {}, "nova_instances": {"host": "host"}},
    ages={"grace": 3600},
    obstacles=(
        Obstacle(
            codes=frozenset({"two-hosts"}),
            what="the upgrade restarts nova-compute, which refuses to start if its file compute_id has the compute node"
            " of the other host",
            source="nova/compute/manager.py, _check_for_host_rename",
        ),
        Obstacle(
            codes=frozenset({"two-nodes"}),
            what="on an upgrade from before 2023.1, nova-compute refuses to start if it has no file compute_id yet",
            source="nova/compute/manager.py, _ensure_existing_node_identity",
        ),
        Obstacle(
            codes=frozenset({"no-node"}),
            what="if the machine is there: on an upgrade from before 2023.1 its nova-compute refuses to start",
            source="nova/compute/manager.py, _ensure_existing_node_identity",
            blocks=False,
        ),
    ),
    by_hand="{remedy}",
    sql="""
        WITH computes AS (
            SELECT cell, host, MAX(created_at) AS made
              FROM nova_services
             WHERE NOT deleted AND "binary" = 'nova-compute' AND host IS NOT NULL
             GROUP BY cell, host
        ), nodes AS (
            SELECT cell, host, hypervisor_hostname AS node, id, created_at AS made
              FROM nova_compute_nodes
             WHERE NOT deleted AND hypervisor_type <> 'ironic' AND host IS NOT NULL AND hypervisor_hostname IS NOT NULL
        ), used AS (
            SELECT DISTINCT cell, host FROM nova_instances WHERE NOT deleted AND host IS NOT NULL
        ), ironic AS (
            SELECT DISTINCT cell FROM nova_compute_nodes WHERE hypervisor_type = 'ironic'
        )
        SELECT MAX(host) AS host, MAX(cell) AS cell, node, MIN(host) AS other, COUNT(*) AS many, 'two-hosts' AS code,
               'read the file compute_id of the machine, and see which of the two its nova.conf names; move the servers'
               || ' of the other one, then delete its service: openstack compute service delete ID' AS remedy
          FROM nodes
         GROUP BY node
        HAVING COUNT(DISTINCT host) > 1 AND MAX(made) < $grace
        UNION ALL
        SELECT host, MAX(cell), MAX(node), MIN(node), COUNT(*), 'two-nodes' AS code,
               'read the file compute_id of ' || host || ': it has the uuid of the right compute node. Move the servers'
               || ' of the other one, then mark its row in compute_nodes deleted, and delete its resource provider'
          FROM nodes
         GROUP BY host
        HAVING COUNT(DISTINCT node) > 1 AND COUNT(DISTINCT cell) = 1 AND MAX(made) < $grace
        UNION ALL
        SELECT host, MAX(cell), '', MIN(cell), COUNT(*), 'two-cells' AS code,
               'see which cell the transport_url in the nova.conf of ' || host || ' belongs to; move the servers of the'
               || ' other cell, then delete its service there: openstack compute service delete ID'
          FROM computes
         GROUP BY host
        HAVING COUNT(*) > 1 AND MAX(made) < $grace
        UNION ALL
        SELECT c.host, c.cell, '', '', 1, 'no-node' AS code,
               'if the machine is gone: openstack compute service delete ID (see openstack compute service list --host '
               || c.host || '); if not, read why its nova-compute cannot report, in its log, and restart it'
          FROM computes c
          LEFT JOIN nodes n ON n.cell = c.cell AND n.host = c.host
          LEFT JOIN ironic i ON i.cell = c.cell
          LEFT JOIN used u ON u.cell = c.cell AND u.host = c.host
         WHERE n.host IS NULL AND u.host IS NULL AND i.cell IS NULL AND c.made < $grace
        UNION ALL
        SELECT n.host, n.cell, n.node, '', 1, 'no-service' AS code,
               'if no guest is left on the machine, mark its row deleted in the database of ' || n.cell
               || ': UPDATE compute_nodes SET deleted = id, deleted_at = UTC_TIMESTAMP(), mapped = 0 WHERE id = '
               || n.id || '; if it has guests, start its nova-compute, which registers it again'
          FROM nodes n
          LEFT JOIN computes c ON c.cell = n.cell AND c.host = n.host
          LEFT JOIN used u ON u.cell = n.cell AND u.host = n.host
         WHERE c.host IS NULL AND u.host IS NULL AND n.made < $grace""",
)
