# SPDX-License-Identifier: Apache-2.0
"""A server has allocated other amounts on its host than its flavor has.

## What is wrong
On its own host, the server's allocation differs from the VCPUs and the memory in its row (code `amount`), or Placement
has two rows of the same resource class for it (`twice`).

## Why it matters
The host looks fuller or emptier than it is. With too little allocated the scheduler puts more servers there than fit;
with too much it refuses servers that would.

## How it comes about
A resize failed or was reverted half way, and left the amounts of the other flavor; allocations or flavors were changed
by SQL; two requests created the same allocation at the same time: no unique key prevents it.

## How to see it by hand
`openstack resource provider allocation show <server>`, beside `openstack server show -c flavor <server>`.

## Repair and its risk
`correct-allocation` sets what the flavor requires on the server's own host, and leaves nested allocations (bandwidth,
VGPU, PCI) alone. `nova-manage placement heal_allocations --force --instance <server>` would drop them. Nothing is lost;
the host may turn out to be full. Not compared: disk, which depends on more than the flavor; VCPUs of a server with
dedicated CPUs; and servers whose flavor overrides resources (`resources:...`).
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="allocation-amount-mismatch",
    catalogue="E7",
    severity=Severity.WARNING,
    message="server {server} has allocated {held_vcpus} VCPU and {held_memory} MB on host {host}: {code}",
    codes={
        "amount": "its flavor has {vcpus} VCPU and {memory} MB",
        "twice": "a resource class is counted twice (its flavor has {vcpus} VCPU and {memory} MB)",
    },
    resource=("server", "server"),
    key=("server",),
    sight=guest(),
    needs=frozenset({"placement", "cells"}),
    reads={
        **idle(),
        "nova_compute_nodes": {},
        "nova_instance_extra": {"instance_uuid": "server"},
        "placement_resource_providers": {},
        "placement_resource_classes": {},
        "placement_allocations": {"consumer_id": "server"},
    },
    ages={"idle": 900},
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
    },
    # NULLIF, not <>: the planner may use an inequality between two tables as a join condition
    sql="""
        WITH kinds AS (
            SELECT id, CASE name WHEN 'VCPU' THEN 1 END AS vcpu, CASE name WHEN 'MEMORY_MB' THEN 1 END AS memory,
                   CASE name WHEN 'DISK_GB' THEN 1 END AS disk, CASE name WHEN 'PCPU' THEN 1 END AS pcpu
              FROM placement_resource_classes
             WHERE name IN ('VCPU', 'MEMORY_MB', 'DISK_GB', 'PCPU')
        ), hosts AS (
            SELECT r.id, n.cell, n.host, n.hypervisor_hostname
              FROM nova_compute_nodes n
              JOIN placement_resource_providers r ON r.uuid = n.uuid
             WHERE NOT n.deleted AND n.hypervisor_type <> 'ironic'
        ), suspects AS (
            SELECT i.uuid, i.cell, h.held_vcpus, h.held_memory, h.most, i.vcpus, i.memory_mb
              FROM (SELECT a.consumer_id AS server, a.resource_provider_id AS provider,
                           COALESCE(SUM(a.used * k.vcpu), 0) AS held_vcpus,
                           COALESCE(SUM(a.used * k.memory), 0) AS held_memory, COUNT(k.pcpu) AS pinned,
                           GREATEST(COUNT(k.vcpu), COUNT(k.memory), COUNT(k.disk)) AS most
                      FROM placement_allocations a
                      JOIN kinds k ON k.id = a.resource_class_id
                     GROUP BY a.consumer_id, a.resource_provider_id) h
              JOIN hosts p ON p.id = h.provider
              JOIN nova_instances i ON i.uuid = h.server AND i.cell = p.cell AND i.host = p.host
                   AND i.node = p.hypervisor_hostname
             WHERE NOT i.deleted
               AND (h.most > 1 OR NULLIF(i.memory_mb, h.held_memory) IS NOT NULL
                    OR (h.pinned = 0 AND NULLIF(i.vcpus, h.held_vcpus) IS NOT NULL))
        )
        SELECT s.uuid AS server, s.cell, s.host, x.vcpus, x.memory_mb AS memory, x.held_vcpus, x.held_memory,
               CASE WHEN x.most > 1 THEN 'twice' ELSE 'amount' END AS code
          FROM suspects x
          JOIN idle_servers s ON s.uuid = x.uuid AND s.cell = x.cell
          LEFT JOIN nova_instance_extra e ON e.instance_uuid = s.uuid AND e.cell = s.cell AND e.overrides
         WHERE s.vm_state NOT IN ('resized', 'deleted', 'shelved_offloaded') AND s.changed_at < $idle
           AND e.instance_uuid IS NULL""",
)
