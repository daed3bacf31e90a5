# SPDX-License-Identifier: Apache-2.0
"""A host has two gateway ports of distributed routers in one external network.

## What is wrong
Each host with distributed routers has one port of its own in an external network, over which the floating IPs of its
servers are reached (`network:floatingip_agent_gateway`). Here, one host has several in one network.

## Why it matters
The L3 agent uses one of them and Neutron may name another: floating IPs on the host stop working when the agent
restarts. Each port takes a public address.

## How it comes about
Two servers with floating IPs arrived on the host at the same moment, in a release without a lock for that, or the
agent was deleted and created again.

## How to see it by hand
`openstack port list --device-owner network:floatingip_agent_gateway --host <host> --network <network>`.

## Repair and its risk
Only the host shows which port is in use: `ip netns exec fip-<network> ip address` there has the address of one of them.
Delete the others through the API, never that one.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="agent-gateway-duplicate",
    catalogue="-",
    severity=Severity.WARNING,
    message="host {host} has {ports} gateway ports in network {network}, among them {port} and {other}",
    resource=("network", "network"),
    key=("network", "host"),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ml2_port_bindings": {"host": "host"},
        "neutron_ports": {"id": "neutron_ml2_port_bindings.port_id", "network_id": "network"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
    },
    ages={"grace": 3600},
    settle=False,
    by_hand=(
        "on {host}, 'ip netns exec fip-{network} ip address' has the address of the port that is in use. Delete the"
        " others, {port} or {other}: openstack port delete <port>"
    ),
    sql="""
        WITH gateways AS (
            SELECT p.id, p.network_id, b.host
              FROM neutron_ports p
              JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
              JOIN neutron_ml2_port_bindings b ON b.port_id = p.id AND b.status = 'ACTIVE'
             WHERE p.device_owner = 'network:floatingip_agent_gateway' AND b.host <> ''
               AND COALESCE(a.updated_at, a.created_at) < $grace)
        SELECT network_id AS network, host, COUNT(*) AS ports, MIN(id) AS port, MAX(id) AS other
          FROM gateways
         GROUP BY network_id, host
        HAVING COUNT(*) > 1""",
)
