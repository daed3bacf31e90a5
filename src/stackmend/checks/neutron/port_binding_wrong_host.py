# SPDX-License-Identifier: Apache-2.0
"""A port is bound to a host other than its server's.

## What is wrong
The ACTIVE binding of one of the server's NICs names a host that is not `instances.host`, and no move is in progress. A
port that only has the server's id is reported by `extra-ports-on-server` instead.

## Why it matters
The port has no connectivity: the agent (or OVN) on the wrong host waits for an interface that never appears, and the
one on the right host does not serve it.

## How it comes about
An evacuation or live migration that failed half way, a server moved by SQL, or a lost update (bug 1659062 and related
ones).

## How to see it by hand
`openstack port show <port> -c binding_host_id -c status`, `openstack server show <server> -c OS-EXT-SRV-ATTR:host`.

## Repair and its risk
First make sure that the guest runs on the host that Nova shows (`virsh list` on that host): if not, the server's host
is wrong. The binding is moved to the server's host and left unbound there; the next update of the port through
Neutron's API binds it. Ports of DHCP, routers and others are never touched.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="port-binding-wrong-host",
    catalogue="A10",
    severity=Severity.ERROR,
    message="port {port} is bound to {port_host}, but server {server} is on {host}",
    resource=("port", "port"),
    key=("server", "port"),
    sight=guest("host", "port_host"),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move", "start"}),
    reads={
        **idle(),
        "neutron_ports": {"id": "port"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_virtual_interfaces": {"uuid": "port"},
    },
    ages={"idle": 900},  # the same age as server-wrong-host: the explanation of a finding must not be reported after it
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
        # a leftover that Nova's healer has added to the cache must not be bound anywhere
        "extra-ports-on-server": {"server": "server", "port": "port"},
    },
    # NULLIF, not <>: the planner may use an inequality between two tables as a join condition
    sql="""
        WITH astray AS (
            SELECT s.uuid AS server, s.cell, s.host, p.id AS port, b.host AS port_host, b.vif_type
              FROM idle_servers s
              JOIN neutron_ports p ON p.device_id = s.uuid
              JOIN neutron_ml2_port_bindings b ON b.port_id = p.id
             WHERE p.device_owner LIKE 'compute:%' AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')
               AND b.status = 'ACTIVE' AND s.host IS NOT NULL AND b.host <> ''
               AND NULLIF(LOWER(b.host), LOWER(s.host)) IS NOT NULL
               AND s.vm_state NOT IN ('shelved_offloaded', 'deleted', 'resized') AND NOT s.in_cell0
               AND s.changed_at < $idle)
        SELECT a.server, a.cell, a.host, a.port, a.port_host, a.vif_type
          FROM astray a
          JOIN neutron_ml2_port_bindings b ON b.port_id = a.port AND b.status = 'ACTIVE'
          LEFT JOIN nova_vifs v ON v.port_id = a.port AND v.instance_uuid = a.server
          LEFT JOIN nova_virtual_interfaces r ON r.uuid = a.port AND r.instance_uuid = a.server AND NOT r.deleted
         GROUP BY a.server, a.cell, a.host, a.port, a.port_host, a.vif_type
        HAVING MIN(b.host) = MAX(b.host) AND (COUNT(v.port_id) > 0 OR COUNT(r.uuid) > 0)""",
)
