# SPDX-License-Identifier: Apache-2.0
"""No record shows how a server came to its host.

## What is wrong
The server was launched on a host other than its current one, its newest migration does not lead to the current host,
and no nova-compute there has done an operation on its guest. Somebody set its host by hand, with or without stackmend.

## Why it matters
If its guest still runs where it was launched, the next start runs it twice on the same disk, and a delete leaves it
running.

## How it comes about
`server set-host --overrule`, an SQL statement that set host, node and compute_id together, or a purge of the table
`migrations`.

## How to see it by hand
`stackmend server where <server>`; `virsh list --all --uuid` on both hosts; `openstack server migration list --server
<server>`; `SELECT host, launched_on FROM instances WHERE uuid = '<server>';`

## Repair and its risk
None: check both hypervisors. If the guest is on this host, the next successful operation there (a reboot, or a stop and
start) is the proof, and the finding disappears; or waive it. If it is on the other host, run `stackmend server set-host
<server> --host` with that one. Do not start the server before you have checked.
"""

from stackmend.cloud.evidence.sights import unproved
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="server-host-unproved",
    catalogue="B8",
    severity=Severity.WARNING,
    message="server {server} is on {host}, but was launched on {launched_on}, and no record shows how it got there",
    resource=("server", "server"),
    key=("server",),
    sight=unproved("launched_on"),
    needs=frozenset({"cells"}),
    reads={**idle(), "nova_compute_nodes": {}},
    ages={"idle": 900},
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
    },
    by_hand=(
        "only the hypervisors show where the guest is: 'stackmend server where {server}' shows each record, and"
        " 'virsh list --all --uuid' on {launched_on} and on {host} shows the guest. Do not start the server before; if"
        " the guest is on {launched_on}: 'stackmend server set-host {server} --host {launched_on}'"
    ),
    # NULLIF, not <>: the planner may use an inequality between two tables as a join condition
    sql="""
        WITH latest AS (
            SELECT cell, MAX(id) AS id
              FROM nova_migrations WHERE instance_uuid IS NOT NULL GROUP BY cell, instance_uuid),
        newest AS (
            SELECT m.cell, m.instance_uuid AS uuid, m.status, LOWER(m.source_compute) AS source,
                   LOWER(m.dest_compute) AS dest
              FROM nova_migrations m
              JOIN latest t ON t.cell = m.cell AND t.id = m.id),
        led AS (
            SELECT cell, uuid, dest AS host FROM newest
            UNION
            SELECT cell, uuid, source
              FROM newest WHERE status NOT IN ('completed', 'confirmed', 'done', 'finished')),
        used AS (
            SELECT DISTINCT a.cell, a.instance_uuid AS uuid, LOWER(e.host) AS host
              FROM nova_instance_actions a
              JOIN nova_instance_actions_events e ON e.action_id = a.id AND e.cell = a.cell
             WHERE e.result = 'Success' AND e.event LIKE 'compute%')
        SELECT s.uuid AS server, s.cell, s.host, i.launched_on
          FROM idle_servers s
          JOIN nova_instances i ON i.uuid = s.uuid AND i.cell = s.cell AND NOT i.deleted
          LEFT JOIN led l ON l.uuid = s.uuid AND l.cell = s.cell AND l.host = LOWER(s.host)
          LEFT JOIN used u ON u.uuid = s.uuid AND u.cell = s.cell AND u.host = LOWER(s.host)
          LEFT JOIN nova_compute_nodes n ON n.cell = s.cell AND n.host = s.host AND n.hypervisor_hostname = s.node
               AND n.hypervisor_type = 'ironic'
         WHERE NULLIF(LOWER(i.launched_on), LOWER(s.host)) IS NOT NULL AND s.host IS NOT NULL
           AND l.uuid IS NULL AND u.uuid IS NULL AND n.id IS NULL AND NOT s.in_cell0
           AND s.vm_state NOT IN ('shelved_offloaded', 'deleted', 'resized') AND s.changed_at < $idle""",
)
