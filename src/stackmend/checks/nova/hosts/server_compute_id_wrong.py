# SPDX-License-Identifier: Apache-2.0
"""A server's row names another compute node than the one its host and node name.

## What is wrong
`instances.compute_id` (since 2023.2) is not the id of the compute node that has the server's `host` and `node`.

## Why it matters
Today Nova finds servers by host and node, so little fails. Code that uses the id, in this release or the next, sees the
server on another host.

## How it comes about
The server was moved by SQL that left the column alone. While nova-compute runs on the host it corrects the id itself
within a minute, so the value stays wrong only on a host that is down.

## How to see it by hand
`SELECT i.compute_id, n.id FROM instances i JOIN compute_nodes n ON n.host = i.host AND n.hypervisor_hostname = i.node
AND n.deleted = 0 WHERE i.uuid = '<server>';`

## Repair and its risk
`correct-compute-id` sets the id. Nothing is lost. An empty column is not reported: `nova-manage db
online_data_migrations` fills it.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="server-compute-id-wrong",
    catalogue="B10",
    severity=Severity.INFO,
    message="server {server} on host {host} has compute_id {compute_id}, but its compute node is {right}",
    resource=("server", "server"),
    key=("server",),
    sight=guest(),
    needs=frozenset({"cells"}),
    reads={**idle(), "nova_compute_nodes": {}},
    ages={"idle": 900},
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
    },
    sql="""
        SELECT s.uuid AS server, s.cell, s.host, s.compute_id, n.id AS "right"
          FROM idle_servers s
          JOIN nova_compute_nodes n ON n.cell = s.cell AND n.host = s.host AND n.hypervisor_hostname = s.node
         WHERE NOT n.deleted AND n.hypervisor_type <> 'ironic' AND NULLIF(s.compute_id, n.id) IS NOT NULL
           AND s.changed_at < $idle""",
)
