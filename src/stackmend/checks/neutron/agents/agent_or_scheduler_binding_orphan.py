# SPDX-License-Identifier: Apache-2.0
"""A Neutron agent is dead, and networks or routers are left to it, or nobody has removed it.

## What is wrong
The agent has not sent a heartbeat, although it is enabled. The `code` says more:

* `alone`: for an hour, and no living agent serves some of its networks or routers;
* `gone`: for thirty days, and nothing depends on it: its host was probably removed.

An agent whose networks and routers have other living agents is not reported before the thirty days, and neither is one
that was disabled for maintenance (`admin_state_up`). Agents of OVN are not recorded in the database.

## Why it matters
`alone`: the guests on those networks get no addresses by DHCP when they start, and the routers route nothing. `gone`: a
scheduler may wait for the agent, and counts of agents are wrong.

## How it comes about
A network node died or was removed without deleting its agents. Neutron moves networks and routers away from dead agents
only if it is told to (`allow_automatic_dhcp_failover`, `allow_automatic_l3agent_failover`; the latter is off by
default).

## How to see it by hand
`openstack network agent list` shows it as not alive; `openstack network list --agent <agent>`, `openstack router list
--agent <agent>` show what is scheduled to it.

## Repair and its risk
By hand: start the agent, or give what it serves to another one and delete it. If its host still runs, stop what it left
there first (`ip netns`, `keepalived`, `dnsmasq`): a router on two hosts answers for its addresses twice.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="agent-or-scheduler-binding-orphan",
    catalogue="I9",
    severity=Severity.WARNING,
    message="{agent_type} {agent} on {host} has been dead since {since}: {code}",
    codes={
        "alone": "{networks} network(s) and {routers} router(s) have no other living agent",
        "gone": "nothing depends on it, and nobody has removed it",
    },
    resource=("agent", "agent"),
    key=("agent",),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_agents": {},
        "neutron_networkdhcpagentbindings": {"dhcp_agent_id": "agent"},
        "neutron_dhcp_fellows": {"network_id": "neutron_networkdhcpagentbindings.network_id"},
        "neutron_routerl3agentbindings": {"l3_agent_id": "agent"},
        "neutron_l3_fellows": {"router_id": "neutron_routerl3agentbindings.router_id"},
    },
    ages={"grace": 3600, "gone": 30 * 86400},
    lasting=frozenset({"grace", "gone"}),
    settle=False,
    by_hand=(
        "start it on {host}. If it is not to come back: for each of its networks, openstack network agent add network"
        " --dhcp <other agent> <network>; for each of its routers, openstack network agent remove router --l3 {agent}"
        " <router> and openstack network agent add router --l3 <other agent> <router>; then openstack network agent"
        " delete {agent}"
    ),
    sql="""
        WITH dead AS (
            SELECT id, agent_type, host, heartbeat_timestamp
              FROM neutron_agents
             WHERE admin_state_up AND heartbeat_timestamp < $grace),
        living AS (
            SELECT id FROM neutron_agents WHERE heartbeat_timestamp >= $grace),
        left_networks AS (
            SELECT d.id, b.network_id
              FROM dead d
              JOIN neutron_networkdhcpagentbindings b ON b.dhcp_agent_id = d.id
              LEFT JOIN (SELECT DISTINCT f.network_id FROM neutron_dhcp_fellows f
                           JOIN living l ON l.id = f.dhcp_agent_id) o ON o.network_id = b.network_id
             WHERE o.network_id IS NULL),
        left_routers AS (
            SELECT d.id, b.router_id
              FROM dead d
              JOIN neutron_routerl3agentbindings b ON b.l3_agent_id = d.id
              LEFT JOIN (SELECT DISTINCT f.router_id FROM neutron_l3_fellows f
                           JOIN living l ON l.id = f.l3_agent_id) o ON o.router_id = b.router_id
             WHERE o.router_id IS NULL),
        counted AS (
            SELECT d.id, d.agent_type, d.host, d.heartbeat_timestamp, COALESCE(n.number, 0) AS networks,
                   COALESCE(r.number, 0) AS routers
              FROM dead d
              LEFT JOIN (SELECT id, COUNT(DISTINCT network_id) AS number FROM left_networks GROUP BY id) n
                ON n.id = d.id
              LEFT JOIN (SELECT id, COUNT(DISTINCT router_id) AS number FROM left_routers GROUP BY id) r
                ON r.id = d.id)
        SELECT c.id AS agent, c.agent_type, c.host, c.heartbeat_timestamp AS since, c.networks, c.routers,
               CASE WHEN c.networks + c.routers > 0 THEN 'alone' ELSE 'gone' END AS code
          FROM counted c
         WHERE c.networks + c.routers > 0 OR c.heartbeat_timestamp < $gone""",
)
