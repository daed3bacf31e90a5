# SPDX-License-Identifier: Apache-2.0
"""A server has a port in Neutron that it does not own: the leftover of a failed build.

## What is wrong
A port carries the server's id, but is neither in the server's network cache nor among its `virtual_interfaces`, and
it is not a port that works on the server's host.

## Why it matters
It holds an address and quota, and a forced heal of the cache *adopts* it: then the server seems to have a NIC more
than was asked for, and nothing but the hypervisor can tell.

## How it comes about
A build fails on one host after its ports were made (an image that one Glance node does not have, for example), the
server is scheduled to another host and gets ports once more, and the clean-up of the first ones fails or the compute
dies in between (bugs 1609526, 2134375).

## How to see it by hand
`openstack port list --server <server>` lists more ports than `openstack server show <server>` has addresses; the
extra one is DOWN or bound to another host, and was created between the server's `created_at` and `launched_at`.

## Repair and its risk
A port that Nova made for the failed build is deleted; one that shows an owner's hand, and every doubtful one, is only
freed (`device_id` emptied, unbound). The address of a deleted port is given back to the pool.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="extra-ports-on-server",
    catalogue="A8",
    severity=Severity.WARNING,
    message="port {port} carries the id of server {server}, which does not own it (bound to {port_host})",
    resource=("port", "port"),
    key=("server", "port"),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_virtual_interfaces": {"uuid": "port"},
        "neutron_ports": {"id": "port"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_trunks": {"port_id": "port"},
        "neutron_subports": {"port_id": "port"},
    },
    ages={"idle": 1800},
    sql="""
        WITH unlisted AS (
            SELECT s.uuid AS server, s.cell, p.id AS port
              FROM idle_servers s
              JOIN neutron_ports p ON p.device_id = s.uuid
              LEFT JOIN nova_vifs v ON v.port_id = p.id AND v.instance_uuid = s.uuid AND v.cell = s.cell
             WHERE v.port_id IS NULL
               AND p.device_owner LIKE 'compute:%' AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')
               AND s.launched_at IS NOT NULL AND NOT s.in_cell0 AND s.changed_at < $idle),
        ports AS (
            SELECT n.server, n.cell, n.port, p.project_id, p.status, p.standard_attr_id
              FROM unlisted n
              JOIN neutron_ports p ON p.id = n.port)
        SELECT s.uuid AS server, s.cell, s.host, p.port, p.status, MAX(b.host) AS port_host
          FROM ports p
          JOIN servers s ON s.uuid = p.server AND s.cell = p.cell AND s.project_id = p.project_id
          JOIN nova_instance_info_caches c ON c.instance_uuid = p.server AND c.cell = p.cell
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
          LEFT JOIN neutron_ml2_port_bindings b ON b.port_id = p.port AND b.status = 'ACTIVE'
          LEFT JOIN nova_virtual_interfaces r ON r.uuid = p.port AND r.instance_uuid = p.server AND NOT r.deleted
          LEFT JOIN neutron_trunks k ON k.port_id = p.port
          LEFT JOIN neutron_subports u ON u.port_id = p.port
         WHERE NOT COALESCE(c.deleted, TRUE) AND c.vifs > 0 AND r.uuid IS NULL
           AND k.port_id IS NULL AND u.port_id IS NULL
           AND NOT (p.status = 'ACTIVE' AND COALESCE(b.host, '') = COALESCE(s.host, ''))
           AND COALESCE(a.updated_at, a.created_at) < $idle
         GROUP BY s.uuid, s.cell, s.host, p.port, p.status""",
)
