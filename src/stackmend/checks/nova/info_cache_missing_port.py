# SPDX-License-Identifier: Apache-2.0
"""A server's network cache lacks one of its NICs.

## What is wrong
A port is a NIC of the server: Nova has its row in `virtual_interfaces`, or it is ACTIVE on the server's host. The
network cache lists other ports of the server, but not this one.

## Why it matters
As with an empty cache, but for one port: a hard reboot starts the guest without the NIC; deleting the server deletes
the port and its address, even if the customer created it, because only the cache says which ports to keep; `server
show` lacks its addresses.

## How it comes about
A cache that was emptied and then filled by attaching a NIC or by a `network-changed` event: Nova adds only the port
that the event names, never the others. Or two updates of the cache at the same time, the later of which wrote outdated
data.


## How to see it by hand
`openstack port list --server <server>` lists more ports than `openstack server show <server>` has addresses, and the
extra one is ACTIVE, or has a row: `SELECT id, uuid FROM virtual_interfaces WHERE instance_uuid = '<server>' AND deleted
= 0;`

## Repair and its risk
The document is rebuilt from Neutron exactly as Nova would. What the cache says about the other ports is preserved;
whether the customer created the missing port is deduced, and if in doubt it is kept. Until then, neither delete the
server nor hard-reboot it. A port that neither a row nor an agent shows as a NIC is reported by `extra-ports-on-server`.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="info-cache-missing-port",
    catalogue="A4",
    severity=Severity.ERROR,
    message="the network cache of server {server} lists {vifs} port(s), but not port {port}, which is one of its NICs",
    resource=("server", "server"),
    key=("server", "port"),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_virtual_interfaces": {"instance_uuid": "server"},
        "neutron_ports": {"id": "port"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
    },
    ages={"idle": 600},
    sql="""
        WITH unlisted AS (
            SELECT s.uuid AS server, s.cell, s.host, s.node, s.vm_state, p.id AS port
              FROM idle_servers s
              JOIN neutron_ports p ON p.device_id = s.uuid AND p.project_id = s.project_id
              LEFT JOIN nova_vifs v ON v.port_id = p.id AND v.instance_uuid = s.uuid AND v.cell = s.cell
             WHERE v.port_id IS NULL AND (p.device_owner LIKE 'compute:%' OR p.device_owner = 'baremetal:none')
               AND s.vm_state <> 'deleted' AND NOT s.in_cell0 AND s.changed_at < $idle)
        SELECT DISTINCT u.server, u.cell, u.host, u.vm_state, u.port, c.vifs
          FROM unlisted u
          JOIN neutron_ports p ON p.id = u.port
          JOIN nova_instance_info_caches c ON c.instance_uuid = u.server AND c.cell = u.cell
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
          LEFT JOIN (SELECT uuid, instance_uuid, cell FROM nova_virtual_interfaces
                      WHERE NOT COALESCE(deleted, FALSE)) r
            ON r.uuid = u.port AND r.instance_uuid = u.server AND r.cell = u.cell
          LEFT JOIN neutron_ml2_port_bindings b
            ON b.port_id = u.port AND b.status = 'ACTIVE' AND p.status = 'ACTIVE' AND b.host IN (u.host, u.node)
         WHERE NOT COALESCE(c.deleted, TRUE) AND c.vifs > 0 AND (r.uuid IS NOT NULL OR b.port_id IS NOT NULL)
           AND COALESCE(a.updated_at, a.created_at) < $idle AND COALESCE(c.updated_at, c.created_at) < $idle""",
)
