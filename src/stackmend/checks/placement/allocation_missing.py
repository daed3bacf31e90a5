# SPDX-License-Identifier: Apache-2.0
"""A server on a host has no allocation in Placement.

## What is wrong
The server is on a compute node that has a resource provider, but Placement holds no allocation for it.

## Why it matters
Its host looks emptier than it is: the scheduler puts more servers there than fit, until guests are killed for memory.
A resize or a move of the server fails.

## How it comes about
Allocations were deleted by hand, or by `nova-manage placement audit --delete` while a cell did not answer; Placement
was restored from an older dump; the server comes from a release that did not allocate.

## How to see it by hand
`openstack resource provider allocation show <server>` shows nothing.

## Repair and its risk
`create-allocation` allocates what the server's flavor requires on its own host, for flat trees only: nested resources
(VGPU, bandwidth, PCI) are left to `nova-manage placement heal_allocations --instance <server>`. Nothing is lost; the
host may turn out to be full.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="allocation-missing",
    catalogue="E3",
    severity=Severity.WARNING,
    message="server {server} is on host {host}, but has no allocation: the scheduler takes its place for free",
    resource=("server", "server"),
    key=("server",),
    sight=guest(),
    needs=frozenset({"placement", "cells"}),
    hinders=frozenset({"move"}),
    reads={
        **idle(),
        "nova_compute_nodes": {},
        "placement_resource_providers": {},
        "placement_allocations": {"consumer_id": "server"},
    },
    ages={"idle": 900},
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
    },
    sql="""
        WITH bare AS (
            SELECT s.uuid, s.cell, s.host, s.node, s.vm_state
              FROM idle_servers s
              LEFT JOIN placement_allocations a ON a.consumer_id = s.uuid
             WHERE a.id IS NULL AND s.host IS NOT NULL AND s.changed_at < $idle
               AND COALESCE(s.vm_state, '') NOT IN ('resized', 'deleted', 'shelved_offloaded'))
        SELECT b.uuid AS server, b.cell, b.host, b.vm_state, n.uuid AS provider
          FROM bare b
          JOIN nova_compute_nodes n ON n.cell = b.cell AND n.host = b.host AND n.hypervisor_hostname = b.node
          JOIN placement_resource_providers p ON p.uuid = n.uuid
         WHERE NOT n.deleted AND n.hypervisor_type <> 'ironic'""",
)
