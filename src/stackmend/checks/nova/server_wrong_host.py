# SPDX-License-Identifier: Apache-2.0
"""Neutron and Placement agree that a server is on a host other than Nova's.

## What is wrong
Every ACTIVE binding of the server's ports is on one other host, and its allocation is on that host's provider alone,
while `instances.host` names a different one, and no move is in progress. A task state `migrating` is ignored if no
migration is in progress, or only one whose source no longer reports, and two hours have passed. This is evidence from
databases: a suspicion until the hypervisors have been checked. `stackmend audit --hosts` does that: if the guest runs
on Nova's host, and the other was read and has none that runs, the finding is dropped.

## Why it matters
Every operation goes to the wrong host: a reboot there starts the guest a second time on the same disk, a delete leaves
the guest running, and the power sync reports it as shut off.

## How it comes about
A live migration that failed after the guest had moved, or whose source died before it recorded the end; a failed
resize; `virsh migrate` by hand; an SQL statement that set the host.

## How to see it by hand
`stackmend server where <server>`; `virsh list --all --uuid` on both hosts; `openstack server show <server> -c
OS-EXT-SRV-ATTR:host`; `openstack resource provider allocation show <server>`.

## Repair and its risk
Only after you have seen the guest running on the other host, and on that one alone (`plan create --hosts` sees to it,
and `plan apply` looks again): host, node and compute node of the server are set and a stale task state is cleared;
the migration is settled; allocation, bindings and records follow. If the records disagree (a connected volume or the
last operation on the guest points elsewhere), nothing is planned. If the verdict is wrong, the next start runs the
guest twice.
"""

from stackmend.cloud.evidence.sights import whereabouts
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="server-wrong-host",
    catalogue="B8",
    severity=Severity.ERROR,
    message="Nova shows server {server} on {host}, but its ports and its allocation are on {found_host}{left}",
    resource=("server", "server"),
    key=("server",),
    sight=whereabouts("found_host"),
    needs=frozenset({"neutron", "placement"}),
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={
        **idle(),
        "nova_services": {},
        "nova_compute_nodes": {},
        "neutron_ports": {"device_id": "server"},
        "neutron_ml2_port_bindings": {"port_id": "neutron_ports.id"},
        "placement_allocations": {"consumer_id": "server"},
        "placement_resource_providers": {},
    },
    ages={"idle": 900, "stuck": 7200},
    explained_by={"server-on-nonexistent-host": {"server": "server"}},
    # a host whose clock is ahead must not make the others look dead; if most are, they were read after $now
    # NULLIF, not <>: the planner may use an inequality between two tables as a join condition
    sql="""
        WITH beating AS (
            SELECT v.cell, v.host
              FROM nova_services v
              JOIN (SELECT w.cell,
                           CASE WHEN 2 * COUNT(CASE WHEN w.updated_at <= $now THEN 1 END) > COUNT(*)
                                THEN MAX(CASE WHEN w.updated_at <= $now THEN w.updated_at END)
                                ELSE MAX(w.updated_at) END AS newest
                      FROM nova_services w
                     WHERE w."binary" = 'nova-compute' AND NOT w.deleted GROUP BY w.cell) t ON t.cell = v.cell
             WHERE v."binary" = 'nova-compute' AND NOT v.deleted AND NOT COALESCE(v.forced_down, FALSE)
               AND v.updated_at >= t.newest - INTERVAL 60 SECOND),
        driven AS (
            SELECT m.instance_uuid
              FROM moves m
              LEFT JOIN beating b ON b.cell = m.cell AND b.host = m.source_compute
             WHERE m.instance_uuid IS NOT NULL
               AND (m.migration_type <> 'live-migration' OR b.host IS NOT NULL OR m.changed_at >= $stuck)),
        quiet AS (
            SELECT uuid, cell, host, node, vm_state, task_state FROM idle_servers WHERE changed_at < $idle
            UNION ALL
            SELECT uuid, cell, host, node, vm_state, task_state
              FROM servers
             WHERE task_state = 'migrating' AND changed_at < $stuck
               AND uuid NOT IN (SELECT d.instance_uuid FROM driven d)
               AND uuid NOT IN (SELECT a.uuid FROM acting_servers a WHERE a.uuid IS NOT NULL)),
        astray AS (
            SELECT DISTINCT s.uuid, s.cell, s.host, s.node, s.task_state
              FROM quiet s
              JOIN neutron_ports p ON p.device_id = s.uuid
              JOIN neutron_ml2_port_bindings b ON b.port_id = p.id
             WHERE b.status = 'ACTIVE' AND b.host <> '' AND p.device_owner LIKE 'compute:%' AND s.host IS NOT NULL
               AND NULLIF(LOWER(b.host), LOWER(s.host)) IS NOT NULL
               AND s.vm_state NOT IN ('resized', 'shelved_offloaded', 'deleted', 'building')),
        bound AS (
            SELECT s.uuid, s.cell, s.host, s.node, s.task_state, MIN(b.host) AS found
              FROM astray s
              JOIN neutron_ports p ON p.device_id = s.uuid
              JOIN neutron_ml2_port_bindings b ON b.port_id = p.id
             WHERE b.status = 'ACTIVE' AND b.host <> '' AND p.device_owner LIKE 'compute:%'
             GROUP BY s.uuid, s.cell, s.host, s.node, s.task_state
            HAVING MIN(b.host) = MAX(b.host)),
        held AS (
            SELECT s.uuid, s.cell, s.host, s.node, s.task_state, s.found, MIN(o.uuid) AS root
              FROM bound s
              JOIN placement_allocations a ON a.consumer_id = s.uuid
              JOIN placement_resource_providers r ON r.id = a.resource_provider_id
              JOIN placement_resource_providers o ON o.id = r.root_provider_id
             GROUP BY s.uuid, s.cell, s.host, s.node, s.task_state, s.found
            HAVING MIN(o.uuid) = MAX(o.uuid))
        SELECT h.uuid AS server, h.cell, h.host, h.node, h.found AS found_host, n.hypervisor_hostname AS found_node,
               CASE WHEN h.task_state IS NULL THEN ''
                    ELSE '; its task state is migrating, but no migration is in progress' END AS left
          FROM held h
          JOIN nova_compute_nodes n ON n.uuid = h.root AND n.cell = h.cell AND n.host = h.found
         WHERE NOT n.deleted AND n.hypervisor_type <> 'ironic'""",
)
