# SPDX-License-Identifier: Apache-2.0
"""A row of Neutron's database belongs to a port, router, host, project or policy that is gone.

## What is wrong
The row refers to something that no longer exists, or no longer needs it. The `code` says to what:

* `router-gone`: a binding of a distributed port (`ml2_distributed_port_bindings`) names a router that does not exist;
* `not-distributed`: the port of such a binding is not one of a distributed or highly available router any more;
* `host-gone`: such a binding is on a host of which Neutron has no agent;
* `port-gone`: such a binding is of a port that does not exist;
* `target-gone`: an entry that shares something (`openstack network rbac list`) is for a project that Keystone does not
  have;
* `shared-gone`: what such an entry shares does not exist;
* `policy-gone`, `bound-gone`: the binding of a QoS policy names a policy, or a port, network, floating IP or router,
  that does not exist.

An entry whose creator is gone is left alone: it still gives its project access. So is a port whose DNS name is not
that of its server: Nova sets the name when it attaches the port, and renaming the server changes neither.

## Why it matters
Little: the rows take space, and appear in lists. An address is announced to hosts (by l2population) for a port bound
there that is not there.

## How it comes about
A distributed router was made centralised in a release that left its bindings (bug 1976439), or was deleted by SQL; a
network node or compute host was removed. Keystone tells Neutron nothing when it deletes a project. The other rows are
deleted by foreign keys together with what they belong to, unless somebody wrote with `foreign_key_checks = 0`, or a
constraint is missing in a database that was upgraded from an old release.

## How to see it by hand
`SELECT d.port_id, d.host, d.router_id, p.device_owner FROM ml2_distributed_port_bindings d LEFT JOIN ports p ON p.id =
d.port_id LEFT JOIN routers r ON r.id = d.router_id WHERE r.id IS NULL`; `openstack network rbac show <entry>` and
`openstack project show <target>`; for QoS: `SELECT b.port_id, b.policy_id FROM qos_port_policy_bindings b LEFT JOIN
ports p ON p.id = b.port_id LEFT JOIN qos_policies q ON q.id = b.policy_id WHERE p.id IS NULL OR q.id IS NULL`.

## Repair and its risk
`drop-distributed-binding` deletes the binding with its levels; an agent that still has the router writes it again.
`delete-sharing-entry` deletes the entry: make sure first that this is the Keystone of the cloud, as an entry for a
living project gives access to its networks. Rows that a foreign key forbids are deleted by hand, since no undo could
bring them back: the plan shows the statement.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.neutron import DISTRIBUTED, QOS_BINDINGS

_COLUMN = " ".join(f"WHEN '{table}' THEN '{column}'" for table, (_, column) in QOS_BINDINGS.items())

CHECK = Check(
    name="qos-or-child-row-orphan",
    catalogue="I14",
    severity=Severity.INFO,
    message="row {row} of {child} is of no use: {code}",
    codes={
        "router-gone": "router {parent} of the binding on {host} does not exist",
        "not-distributed": "the port, {parent}, needs no binding for {host} besides its own",
        "host-gone": "Neutron has no agent on {host}",
        "port-gone": "the port does not exist",
        "target-gone": "it shares something with project {parent}, which does not exist",
        "shared-gone": "what it shares does not exist",
        "policy-gone": "QoS policy {parent} does not exist",
        "bound-gone": "what has QoS policy {parent} does not exist",
    },
    resource=("neutron-row", "row"),
    key=("child", "row", "host"),
    needs=frozenset({"neutron", "keystone"}),
    reads={
        "neutron_ml2_distributed_port_bindings": {"port_id": "row", "host": "host"},
        "neutron_ports": {"id": "row"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_routers": {"id": "neutron_ml2_distributed_port_bindings.router_id"},
        "neutron_agents": {},
        "neutron_sharing": {"id": "row"},
        "keystone_project": {},
        "neutron_unbound_policies": {"bound_id": "row"},
    },
    explained_by={"router-port-drift": {"row": "port", "parent": "router"}},
    ages={"grace": 3600},
    by_hand="{way}",
    # ids of projects were written with dashes by old releases
    sql=f"""
        WITH bound AS (
            SELECT d.port_id, d.host, d.router_id, p.id AS port, p.device_owner, r.id AS router, a.host AS agents,
                   COALESCE(d.router_id, '') <> '' AS named, COALESCE(t.updated_at, t.created_at) AS changed_at
              FROM neutron_ml2_distributed_port_bindings d
              LEFT JOIN neutron_ports p ON p.id = d.port_id
              LEFT JOIN neutron_standardattributes t ON t.id = p.standard_attr_id
              LEFT JOIN neutron_routers r ON r.id = d.router_id
              LEFT JOIN (SELECT DISTINCT host FROM neutron_agents) a ON a.host = d.host
        ), bindings AS (
            SELECT port_id, host,
                   CASE WHEN named AND router IS NULL THEN router_id ELSE device_owner END AS parent,
                   CASE WHEN port IS NULL THEN 'port-gone'
                        WHEN named AND router IS NULL THEN 'router-gone'
                        WHEN device_owner NOT IN {DISTRIBUTED} THEN 'not-distributed'
                        ELSE 'host-gone' END AS code
              FROM bound
             WHERE port IS NULL
                OR (changed_at < $grace
                    AND ((named AND router IS NULL) OR device_owner NOT IN {DISTRIBUTED} OR agents IS NULL))
        ), shared AS (
            SELECT s.child, s.id, s.target_project, s.unowned
              FROM neutron_sharing s
              LEFT JOIN keystone_project p ON REPLACE(p.id, '-', '') = REPLACE(s.target_project, '-', '')
             WHERE s.unowned OR (p.id IS NULL AND LENGTH(REPLACE(s.target_project, '-', '')) = 32)
        )
        SELECT 'ml2_distributed_port_bindings' AS child, port_id AS "row", host, parent, code,
               'DELETE FROM ml2_distributed_port_bindings WHERE port_id = ''' || port_id || ''' AND host = ''' || host
               || '''' AS way
          FROM bindings
        UNION ALL
        SELECT child, id AS "row", '' AS host, target_project AS parent,
               CASE WHEN unowned THEN 'shared-gone' ELSE 'target-gone' END AS code,
               'DELETE FROM ' || child || ' WHERE id = ''' || id || '''' AS way
          FROM shared
        UNION ALL
        SELECT child, bound_id AS "row", '' AS host, policy_id AS parent,
               CASE WHEN policy_gone THEN 'policy-gone' ELSE 'bound-gone' END AS code,
               'DELETE FROM ' || child || ' WHERE ' || CASE child {_COLUMN} END || ' = ''' || bound_id || '''' AS way
          FROM neutron_unbound_policies""",
)
