# SPDX-License-Identifier: Apache-2.0
"""A port is bound to a host that no service and no agent knows any more.

## What is wrong
A port that belongs neither to a server nor to DHCP is bound to a host, and there is no agent of Neutron and no service
of Nova on a host of that name. (Ports of servers and of DHCP have checks of their own.) Clouds without any agent of
Open vSwitch, Linux bridge or SR-IOV are not judged: OVN keeps its hosts outside the databases.

## Why it matters
The port does nothing and keeps its address. Octavia's health manager, for example, has a port on each controller, and
load balancers send their heartbeats to its address: on a controller that is gone, nobody receives them.

## How it comes about
A controller or network node was removed, or renamed, and what was bound there by hand was forgotten.

## How to see it by hand
`openstack port show <port> -c binding_host_id -c device_owner`, `openstack network agent list --host <host>`.

## Repair and its risk
What the port is for decides: bind it to the new host, or delete it. The plan has both commands.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER

CHECK = Check(
    name="port-host-unknown",
    catalogue="-",
    severity=Severity.INFO,
    message="port {port} ({owner}) is bound to {host}, where there is no agent and no service",
    resource=("port", "port"),
    key=("port",),
    needs=EVERY_SERVER | {"neutron"},
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "neutron_agents": {},
        "nova_services": {"host": "neutron_ml2_port_bindings.host"},
    },
    ages={"grace": 86400},
    settle=False,
    by_hand=(
        "if it is still needed: openstack port set --host <new host> {port}. If it is not, and its address may be given"
        " to others: openstack port delete {port}"
    ),
    sql="""
        WITH known AS (
            SELECT host FROM neutron_agents
            UNION
            SELECT host FROM nova_services WHERE NOT COALESCE(deleted, FALSE)),
        judging AS (  -- without such agents (OVN), no table of Neutron has its hosts
            SELECT DISTINCT 'ACTIVE' AS status FROM neutron_agents
             WHERE agent_type IN ('Open vSwitch agent', 'Linux bridge agent', 'NIC Switch agent')),
        others AS (
            SELECT p.id, p.device_owner, p.standard_attr_id
              FROM neutron_ports p
             WHERE p.device_owner NOT LIKE 'compute:%' AND p.device_owner NOT LIKE 'baremetal:%'
               AND p.device_owner NOT IN ('network:dhcp', 'network:floatingip', 'network:distributed'))
        SELECT p.id AS port, p.device_owner AS owner, b.host
          FROM others p
          JOIN neutron_ml2_port_bindings b ON b.port_id = p.id
          JOIN judging j ON j.status = b.status
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
          LEFT JOIN known k ON k.host = b.host
         WHERE b.host <> '' AND k.host IS NULL AND COALESCE(a.updated_at, a.created_at) < $grace""",
)
