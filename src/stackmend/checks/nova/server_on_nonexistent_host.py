# SPDX-License-Identifier: Apache-2.0
"""A live server is on a host or node that does not exist.

## What is wrong
The server's cell has no nova-compute service for its host (code `no-service`), no compute node of that host
(`no-node`), nodes of that host but not the server's (`node-mismatch`), or the server is in use without any host
(`null-host-active`). The message says which, and what the host has instead.

## Why it matters
Every operation ends in ComputeHostNotFound; a delete becomes a local one, which leaves the guest and its disks; a
wrong node makes the server invisible to every resource tracker, because they search by host *and* node.

## How it comes about
A compute service deleted although servers were on it (old releases did not check), a renamed host, or a server moved by
SQL with a typing error.

## How to see it by hand
`stackmend server where <server>`;
`SELECT host, node FROM instances WHERE uuid = '<server>';` beside `openstack compute service list` and
`SELECT host, hypervisor_hostname, deleted FROM compute_nodes;`

## Repair and its risk
Host and node are set to where every other record has the server (ports, allocation, volumes, migrations, the last
operation on the guest): this corrects a typing error in any of the columns. If the service or node is only marked
deleted, it is revived: check the file `compute_id` on the machine first. If the records disagree, or the host they name
is dead and the server's row names one that is alive, nothing is changed: use `server set-host` if you know the right
host, otherwise evacuate or relocate the server. Never delete it to tidy up.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Obstacle, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="server-on-nonexistent-host",
    catalogue="B9",
    severity=Severity.ERROR,
    message="server {server} is on host {host}, node {node}: {what}",
    resource=("server", "server"),
    key=("server",),
    sight=guest(),
    reads={**idle(), "nova_compute_nodes": {}, "nova_services": {}},
    untold={
        "no-node": "Nova's API does not list the compute nodes of a host that nova_api does not map: see 'nova-manage"
        " cell_v2 list_hosts', and name nova_api under [databases]"
    },
    obstacles=(
        Obstacle(
            what="if its compute_id is empty and no compute node of that host and name was ever there, nova-manage db"
            " online_data_migrations cannot fill it, and says so each time",
            source="nova/objects/instance.py, populate_instance_compute_id",
            blocks=False,
        ),
    ),
    ages={"idle": 600},
    sql="""
        SELECT s.uuid AS server, s.cell, s.host, s.node, s.vm_state,
               CASE WHEN s.host IS NULL THEN 'null-host-active'
                    WHEN v.host IS NULL THEN 'no-service'
                    WHEN h.host IS NULL THEN 'no-node' ELSE 'node-mismatch' END AS code,
               CASE WHEN s.host IS NULL THEN 'it is in use but has no host'
                    WHEN v.host IS NULL THEN 'its cell has no nova-compute service for that host'
                    WHEN h.host IS NULL THEN 'that host has no compute node'
                    WHEN h.many = 1 THEN 'that host has node ' || h.one || ', not this one'
                    ELSE 'that host has ' || h.many || ' nodes, for example ' || h.one || ', not this one' END AS what
          FROM idle_servers s
          LEFT JOIN (SELECT DISTINCT cell, host FROM nova_services WHERE NOT deleted AND "binary" = 'nova-compute') v
            ON v.host = s.host AND v.cell = s.cell
          LEFT JOIN (SELECT cell, host, MIN(hypervisor_hostname) AS one, COUNT(DISTINCT hypervisor_hostname) AS many
                       FROM nova_compute_nodes WHERE NOT deleted GROUP BY cell, host) h
            ON h.host = s.host AND h.cell = s.cell
          LEFT JOIN (SELECT DISTINCT cell, host, hypervisor_hostname FROM nova_compute_nodes WHERE NOT deleted) n
            ON n.host = s.host AND n.hypervisor_hostname = s.node AND n.cell = s.cell
         WHERE s.vm_state NOT IN ('shelved_offloaded', 'deleted') AND NOT s.in_cell0 AND s.changed_at < $idle
           AND ((s.host IS NULL AND s.vm_state <> 'error')
                OR (s.host IS NOT NULL AND (v.host IS NULL OR n.host IS NULL)))""",
)
