# SPDX-License-Identifier: Apache-2.0
"""A NIC of a server that has a host is bound nowhere, or its binding failed.

## What is wrong
The active binding of one of the server's NICs has the VIF type `binding_failed` (code `failed`: no mechanism driver
could bind it on the host) or `unbound` (code `unbound`: nobody has tried since the port was freed or rebound), and the
server has a host and no operation in progress. A port that only has the server's id is reported by
`extra-ports-on-server` instead.

## Why it matters
The NIC has no connectivity. The next start or hard reboot of the server, and a restart of nova-compute, put the server
in ERROR.

## How it comes about
The L2 agent was down when the port was bound, the physical network of the port is not mapped on the host, or the port
was rebound in the database and nobody has let Neutron bind it since.

## How to see it by hand
`openstack port show <port> -c binding_vif_type -c binding_host_id`, `openstack network agent list --host <host>`.

## Repair and its risk
By hand, because the cause lies on the host: make sure that its L2 agent is alive and that the physical network is
mapped there, then run `openstack port set --host <host> <port>`. Any update of the port lets Neutron bind it again. If
the server is in ERROR: `openstack server set --state active <server>`, then `openstack server reboot --hard <server>`.
Never write the VIF type in the database: the agents would not know about it.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="port-binding-failed-or-unbound",
    catalogue="A11",
    severity=Severity.ERROR,
    message="port {port} of server {server} on {host}: {code}",
    codes={
        "failed": "Neutron could not bind it on {port_host}",
        "unbound": "it is not bound anywhere",
    },
    resource=("port", "port"),
    key=("server", "port"),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move", "start"}),
    reads={
        **idle(),
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_virtual_interfaces": {"uuid": "port"},
    },
    ages={"idle": 900},  # the same age as server-wrong-host: the explanation of a finding must not be reported after it
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
        "extra-ports-on-server": {"server": "server", "port": "port"},
        "port-binding-duplicate-active": {"port": "port"},
    },
    by_hand=(
        "see to it that 'openstack network agent list --host {host}' shows a living L2 agent, then: openstack port set"
        " --host {host} {port}"
    ),
    sql="""
        WITH dead AS (
            SELECT b.port_id, b.host, b.vif_type, p.device_id, p.standard_attr_id
              FROM neutron_ml2_port_bindings b
              JOIN neutron_ports p ON p.id = b.port_id
             WHERE b.status = 'ACTIVE' AND b.vif_type IN ('binding_failed', 'unbound')
               AND p.device_owner LIKE 'compute:%' AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')),
        listed AS (
            SELECT v.port_id, v.instance_uuid
              FROM nova_vifs v
              JOIN dead d ON d.port_id = v.port_id AND d.device_id = v.instance_uuid
            UNION
            SELECT r.uuid, r.instance_uuid
              FROM nova_virtual_interfaces r
              JOIN dead d ON d.port_id = r.uuid AND d.device_id = r.instance_uuid
             WHERE NOT COALESCE(r.deleted, FALSE))
        SELECT DISTINCT s.uuid AS server, s.cell, s.host, d.port_id AS port, d.host AS port_host,
               CASE WHEN d.vif_type = 'binding_failed' THEN 'failed' ELSE 'unbound' END AS code
          FROM dead d
          JOIN listed l ON l.port_id = d.port_id
          JOIN neutron_standardattributes a ON a.id = d.standard_attr_id
          JOIN idle_servers s ON s.uuid = d.device_id
         WHERE s.host IS NOT NULL AND s.vm_state NOT IN ('shelved_offloaded', 'deleted', 'soft-delete', 'resized')
           AND NOT s.in_cell0 AND s.launched_at IS NOT NULL
           AND s.changed_at < $idle AND COALESCE(a.updated_at, a.created_at) < $idle""",
)
