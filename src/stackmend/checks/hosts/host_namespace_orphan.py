# SPDX-License-Identifier: Apache-2.0
"""A host has a network namespace of a network or router that is not there.

## What is wrong
A namespace of Neutron's agents (`qdhcp-`, `qrouter-`, `snat-`, `fip-`) is named after a network or router. Code
`gone`: Neutron has none with this id; `elsewhere`: the network is served by DHCP agents on other hosts, or the router
by L3 agents there, and not by the agent of this host.

## Why it matters
What is in it goes on: a dnsmasq answers with addresses that are given to others by now; a router answers ARP for a
gateway that another host has, so that each guest reaches one of the two by chance; keepalived fights for an address.

## How it comes about
An agent was down, or lost its messages, when the network or router was deleted or given to another agent. The L3
agent cleans up once, after its first complete synchronisation; it does not look again. An agent that was removed from
its host cleans nothing.

## How to see it by hand
`ip netns list`; `ip netns exec <namespace> ip -br addr`; `ip netns pids <namespace>`; `openstack network show <id>`
or `openstack router show <id>`; `openstack network agent list --router <id>`, `--network <id>`.

## Repair and its risk
By hand. Restart the agent first: it cleans up what it knows. Then the command of the finding; its processes have to
be ended before, and they belong to nobody. `neutron-netns-cleanup` removes only empty namespaces; with `--force` it
removes **all** of its kind, those in use included: only on a host that serves nothing any more. Distributed routers
have namespaces wherever their networks have guests, without being scheduled there: `elsewhere` is not said of them,
nor of `snat-` and `fip-`. Nor is it said of a host whose agent is called otherwise in Neutron. A namespace does not
say how old it is, so a finding is only reported once audits have seen it for an hour (age `seen`).
"""

from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="host-namespace-orphan",
    catalogue="G6",
    severity=Severity.WARNING,
    message="{host} has the namespace {name}: {code}",
    codes={
        "gone": "there is no such {what}",
        "elsewhere": "its {what} is served by {served}, not by this host",
    },
    resource=("host", "host"),
    key=("host", "name"),
    needs=frozenset({"neutron"}),
    reads={
        "host_namespaces": {"host": "host", "name": "name"},
        "neutron_networks": {"id": "resource"},
        "neutron_routers": {"id": "resource"},
        "neutron_routerports": {"router_id": "resource"},
        "neutron_agents": {},
        "neutron_networkdhcpagentbindings": {"network_id": "resource"},
        "neutron_routerl3agentbindings": {"router_id": "resource"},
    },
    ages={"seen": 3600},
    by_hand=(
        "on {host}, restart {agent} and see whether it removes it. If not, see what is in it (ip netns exec {name} ip"
        " -br addr; ip netns pids {name}), end those processes, then: ip netns delete {name}; never"
        " neutron-netns-cleanup --force on a host that serves others"
    ),
    sql="""
        WITH agents AS (
            SELECT DISTINCT host, CASE agent_type WHEN 'DHCP agent' THEN 'qdhcp' ELSE 'qrouter' END AS kind
              FROM neutron_agents WHERE agent_type IN ('DHCP agent', 'L3 agent')),
        serving AS (
            SELECT 'qdhcp' AS kind, b.network_id AS resource, a.host
              FROM neutron_networkdhcpagentbindings b JOIN neutron_agents a ON a.id = b.dhcp_agent_id
            UNION
            SELECT 'qrouter', b.router_id, a.host
              FROM neutron_routerl3agentbindings b JOIN neutron_agents a ON a.id = b.l3_agent_id),
        served AS (
            SELECT kind, resource, STRING_AGG(host, ', ' ORDER BY host) AS hosts FROM serving GROUP BY kind, resource),
        distributed AS (
            SELECT DISTINCT router_id FROM neutron_routerports WHERE port_type LIKE '%distributed%'),
        judged AS (
            SELECT n.host, n.name, n.resource, f.hosts AS served,
                   CASE WHEN n.kind IN ('qdhcp', 'fip') THEN 'network' ELSE 'router' END AS what,
                   CASE n.kind WHEN 'qdhcp' THEN 'neutron-dhcp-agent' ELSE 'neutron-l3-agent' END AS agent,
                   CASE WHEN COALESCE(w.id, r.id) IS NULL THEN 'gone'
                        WHEN a.host IS NOT NULL AND f.hosts IS NOT NULL AND s.host IS NULL AND d.router_id IS NULL
                        THEN 'elsewhere' END AS code
              FROM host_namespaces n
              LEFT JOIN neutron_networks w ON w.id = n.resource
              LEFT JOIN neutron_routers r ON r.id = n.resource
              LEFT JOIN agents a ON a.host = n.host AND a.kind = n.kind
              LEFT JOIN served f ON f.kind = n.kind AND f.resource = n.resource
              LEFT JOIN serving s ON s.kind = n.kind AND s.resource = n.resource AND s.host = n.host
              LEFT JOIN distributed d ON d.router_id = n.resource)
        SELECT DISTINCT host, name, resource, served, what, agent, code FROM judged WHERE code IS NOT NULL""",
)
