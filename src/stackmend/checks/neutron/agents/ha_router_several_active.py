# SPDX-License-Identifier: Apache-2.0
"""Several agents say that they have the active instance of one HA router.

## What is wrong
Of the instances of an HA router exactly one is active. Here several living L3 agents have reported theirs as active, in
two looks one after another. An agent that is dead does not count: what it reported last is out of date.

## Why it matters
Each active instance has the addresses of the router: traffic goes now to one, now to the other, and connections break.
If the report is wrong, Neutron binds the router's ports to the wrong host.

## How it comes about
The instances do not hear each other's VRRP messages, because the HA network does not work between two hosts (an L2
agent is down, a tunnel is missing, a firewall drops protocol 112). Or the report of a change was lost.

## How to see it by hand
`openstack network agent list --router <router> --long` shows the state of each instance. On each of the hosts, `ip
netns exec qrouter-<router> ip address` shows whether it has the router's addresses.

## Repair and its risk
By hand. If several hosts have the addresses, mend the HA network between them; until then stop all instances but one:
`openstack network agent remove router --l3 <agent> <router>`. If only one has them, restart the L3 agent of the other:
it reports its states again.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="ha-router-several-active",
    catalogue="I9",
    severity=Severity.ERROR,
    message="router {router} is active on {active} hosts, among them {host} and {other}",
    resource=("router", "router"),
    key=("router",),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ha_router_agent_port_bindings": {"router_id": "router"},
        "neutron_agents": {"id": "neutron_ha_router_agent_port_bindings.l3_agent_id"},
    },
    ages={"alive": 300},
    lasting=frozenset({"alive"}),
    by_hand=(
        "on {host} and on {other}, 'ip netns exec qrouter-{router} ip address' shows who has the router's addresses. If"
        " both: mend the HA network between them, or for one: openstack network agent remove router --l3 <agent>"
        " {router}. If one: restart the L3 agent of the other"
    ),
    sql="""
        WITH claims AS (
            SELECT b.router_id, a.host
              FROM neutron_ha_router_agent_port_bindings b
              JOIN neutron_agents a ON a.id = b.l3_agent_id
             WHERE b.state = 'active' AND a.heartbeat_timestamp >= $alive)
        SELECT router_id AS router, COUNT(DISTINCT host) AS active, MIN(host) AS host, MAX(host) AS other
          FROM claims
         GROUP BY router_id
        HAVING COUNT(DISTINCT host) > 1""",
)
