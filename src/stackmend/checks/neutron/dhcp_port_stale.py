# SPDX-License-Identifier: Apache-2.0
"""A DHCP port belongs to an agent that does not serve the network any more.

## What is wrong
A port with owner `network:dhcp` has been unchanged for a day, and none of the DHCP agents to which the network is
scheduled runs on the port's host. The `code` says why:

* `reserved`: it was set aside when its agent went (`reserved_dhcp_port`), and no agent has taken it over;
* `agent-gone`: no DHCP agent is known on its host;
* `not-scheduled`: the agent there does not serve this network.

OVN has no such ports: its own have the owner `network:distributed`.

## Why it matters
Each one uses an address of the network, and the address may be listed as a DHCP server in the servers' network caches.

## How it comes about
An agent was deleted or replaced together with its host, or a network was rescheduled while the agent was dead (bug
2130885).

## How to see it by hand
`openstack port list --device-owner network:dhcp --network <network> --long`,
`openstack network agent list --network <network>`.

## Repair and its risk
`delete-stale-dhcp-port` deletes the port, unless it is the last DHCP port of a network with DHCP. Make sure first that
no dnsmasq serves it on its old host.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="dhcp-port-stale",
    catalogue="I8",
    severity=Severity.INFO,
    message="DHCP port {port} of network {network} is not used any more: {code}",
    codes={
        "reserved": "it was set aside when its agent went, and no agent has taken it over",
        "agent-gone": "no DHCP agent is known on {host}",
        "not-scheduled": "the DHCP agent on {host} does not serve the network",
    },
    resource=("port", "port"),
    key=("port",),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "neutron_agents": {"host": "neutron_ml2_port_bindings.host"},
        "neutron_networkdhcpagentbindings": {"network_id": "neutron_ports.network_id"},
    },
    ages={"grace": 86400},
    settle=False,
    sql="""
        WITH known AS (
            SELECT DISTINCT host FROM neutron_agents WHERE agent_type = 'DHCP agent'),
        serving AS (
            SELECT DISTINCT d.network_id, g.host
              FROM neutron_networkdhcpagentbindings d
              JOIN neutron_agents g ON g.id = d.dhcp_agent_id)
        SELECT p.id AS port, p.network_id AS network, p.device_id AS device, b.host,
               CASE WHEN p.device_id = 'reserved_dhcp_port' THEN 'reserved'
                    WHEN k.host IS NULL THEN 'agent-gone'
                    ELSE 'not-scheduled' END AS code
          FROM neutron_ports p
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
          JOIN neutron_ml2_port_bindings b ON b.port_id = p.id AND b.status = 'ACTIVE'
          LEFT JOIN known k ON k.host = b.host
          LEFT JOIN serving s ON s.network_id = p.network_id AND s.host = b.host
         WHERE p.device_owner = 'network:dhcp' AND s.host IS NULL
           AND COALESCE(a.updated_at, a.created_at) < $grace""",
)
