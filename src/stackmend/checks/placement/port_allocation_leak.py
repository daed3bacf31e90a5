# SPDX-License-Identifier: Apache-2.0
"""A server's allocation of bandwidth and the ports that it is for do not match.

## What is wrong
For a port with a guaranteed bandwidth or packet rate, Nova allocates `NET_BW_...` or `NET_PACKET_RATE_...` on a
provider below the server's host, and names that provider in the port's binding profile (`allocation`). The `code` says
what does not match:

* `leaked`: the server holds such an allocation on its host, but no port of it names that provider;
* `lost`: a port of the server names a provider, but the server holds no such allocation at all.

## Why it matters
A leaked allocation takes bandwidth that nobody uses until the server is deleted or moved: other servers with guarantees
find no host. A lost one is bandwidth that is promised twice.

## How it comes about
The port was deleted in Neutron while it was attached: Nova logs that its allocation may be leaked. Allocations were
replaced by `nova-manage placement heal_allocations --force`, which allocates what the flavor requires and nothing else.

## How to see it by hand
`openstack resource provider allocation show <server>`, beside `openstack port show -c binding_profile <port>` for each
port of `openstack port list --server <server>`.

## Repair and its risk
`release-port-allocation` removes the classes for ports from the server's allocation on that provider. If the port was
removed from Neutron by SQL, the guest may still have the NIC and use the bandwidth: compare `virsh domiflist` on the
host. A lost allocation comes back when the server is moved. Not reported: a port whose rule came after it was attached,
which has no allocation by design; and an allocation on a provider that other ports of the server name as well.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="port-allocation-leak",
    catalogue="E4",
    severity=Severity.WARNING,
    message="server {server} on host {host}: {code}",
    codes={
        "leaked": "it holds {classes} on provider {name}, which no port of it names",
        "lost": "port {port} names a provider with its guaranteed bandwidth, but the server holds no such allocation",
    },
    resource=("server", "server"),
    key=("server", "provider", "port"),
    needs=frozenset({"placement", "cells", "neutron"}),
    reads={
        **idle(),
        "nova_compute_nodes": {},
        "placement_resource_providers": {},
        "placement_resource_classes": {},
        "placement_allocations": {"consumer_id": "server"},
        "neutron_ports": {"device_id": "server"},
        "neutron_port_allocations": {"port_id": "neutron_ports.id"},
    },
    ages={"idle": 900},
    explained_by={"allocation-missing": {"server": "server"}},
    by_hand=(
        "a move allocates again what the ports request: 'openstack server migrate {server}', then 'openstack server"
        " migration confirm {server}'"
    ),
    # only on the tree of the server's own host: an evacuation leaves an allocation on another one
    sql="""
        WITH held AS (
            SELECT a.consumer_id AS server, a.resource_provider_id AS number, MIN(k.name) AS classes
              FROM placement_allocations a
              JOIN placement_resource_classes k ON k.id = a.resource_class_id
             WHERE k.name LIKE 'NET_BW_%' OR k.name LIKE 'NET_PACKET_RATE_%'
             GROUP BY a.consumer_id, a.resource_provider_id
        ), named AS (
            SELECT p.device_id AS server, b.port_id, b.allocation
              FROM neutron_port_allocations b
              JOIN neutron_ports p ON p.id = b.port_id
             WHERE p.device_id <> ''
        ), used AS (
            SELECT DISTINCT h.server, h.number
              FROM held h
              JOIN placement_resource_providers r ON r.id = h.number
              JOIN named n ON n.server = h.server
             WHERE POSITION(r.uuid IN n.allocation) > 0
        ), loose AS (
            SELECT h.server, h.classes, r.uuid AS provider, r.name, o.uuid AS root
              FROM held h
              JOIN placement_resource_providers r ON r.id = h.number
              JOIN placement_resource_providers o ON o.id = r.root_provider_id
              LEFT JOIN used u ON u.server = h.server AND u.number = h.number
             WHERE u.server IS NULL
        ), lacking AS (
            SELECT DISTINCT n.server, n.port_id
              FROM named n
              LEFT JOIN held h ON h.server = n.server
             WHERE h.server IS NULL
        )
        SELECT s.uuid AS server, s.cell, s.host, 'leaked' AS code, l.provider, l.name, l.classes, '' AS port
          FROM loose l
          JOIN idle_servers s ON s.uuid = l.server
          JOIN nova_compute_nodes n ON n.cell = s.cell AND n.host = s.host AND n.hypervisor_hostname = s.node
               AND n.uuid = l.root
         WHERE NOT n.deleted AND s.vm_state NOT IN ('resized', 'deleted') AND s.changed_at < $idle
        UNION ALL
        SELECT s.uuid, s.cell, s.host, 'lost' AS code, '', '', '', l.port_id
          FROM lacking l
          JOIN idle_servers s ON s.uuid = l.server
          JOIN nova_compute_nodes n ON n.cell = s.cell AND n.host = s.host AND n.hypervisor_hostname = s.node
         WHERE NOT n.deleted AND s.vm_state NOT IN ('resized', 'deleted', 'shelved_offloaded')
           AND s.changed_at < $idle""",
)
