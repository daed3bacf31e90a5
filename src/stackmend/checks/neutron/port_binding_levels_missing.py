# SPDX-License-Identifier: Apache-2.0
"""The binding of a port and its levels do not fit together.

## What is wrong
For each host to which a port is bound, `ml2_port_binding_levels` says which mechanism driver bound it to which segment
of its network. The `code` says what does not fit:

* `missing`: the port is bound to the host, but has no level for it;
* `orphan`: it has a level for a host to which it has no binding;
* `wrong-segment`: a level names no segment, or one of another network.

Inactive bindings of a move in progress are not judged.

## Why it matters
An agent that asks for the port gets no segment, so the port stays DOWN after the next restart of the agent. A level
that was left behind gets in the way of the next binding on that host.

## How it comes about
A binding was interrupted, a segment was deleted (the level then names none), or only one of the two tables was changed
by SQL.

## How to see it by hand
`SELECT b.host, b.vif_type, l.level, l.driver, l.segment_id FROM ml2_port_bindings b LEFT JOIN ml2_port_binding_levels l
ON l.port_id = b.port_id AND l.host = b.host WHERE b.port_id = '<port>'`.

## Repair and its risk
`mend-binding-levels` deletes levels without a binding. It corrects the segment in a level, or inserts the missing
level, if the network has exactly one static segment and exactly one driver has bound the other ports on that host.
Otherwise let Neutron bind the port again, which interrupts its traffic: `openstack port unset --host <port>`, then
`openstack port set --host <host> <port>`.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="port-binding-levels-missing",
    catalogue="A15",
    severity=Severity.WARNING,
    message="port {port}, binding on {host}: {code}",
    codes={
        "missing": "it is bound there, but no level says to which segment",
        "orphan": "it has a level for this host, but no binding there",
        "wrong-segment": "its level names no segment of its network",
    },
    resource=("port", "port"),
    key=("port", "host"),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "port", "host": "host"},
        "neutron_ml2_distributed_port_bindings": {"port_id": "port", "host": "host"},
        "neutron_ml2_port_binding_levels": {"port_id": "port", "host": "host"},
        "neutron_networksegments": {"id": "neutron_ml2_port_binding_levels.segment_id"},
    },
    ages={"grace": 600},
    sql="""
        WITH odd AS (
            SELECT b.port_id, b.host, 'missing' AS what
              FROM neutron_ml2_port_bindings b
              LEFT JOIN neutron_ml2_port_binding_levels l ON l.port_id = b.port_id AND l.host = b.host
             WHERE l.port_id IS NULL AND b.status = 'ACTIVE' AND b.host <> ''
               AND b.vif_type NOT IN ('unbound', 'binding_failed', 'distributed')
            UNION
            SELECT l.port_id, l.host, 'orphan' AS what
              FROM neutron_ml2_port_binding_levels l
              LEFT JOIN neutron_ml2_port_bindings b ON b.port_id = l.port_id AND b.host = l.host
              LEFT JOIN neutron_ml2_distributed_port_bindings d ON d.port_id = l.port_id AND d.host = l.host
             WHERE b.port_id IS NULL AND d.port_id IS NULL
            UNION
            SELECT l.port_id, l.host, 'wrong-segment' AS what
              FROM neutron_ml2_port_binding_levels l
              JOIN neutron_ports p ON p.id = l.port_id
              JOIN neutron_ml2_port_bindings b ON b.port_id = l.port_id AND b.host = l.host AND b.status = 'ACTIVE'
              LEFT JOIN neutron_networksegments g ON g.id = l.segment_id
             WHERE g.id IS NULL OR NULLIF(g.network_id, p.network_id) IS NOT NULL)
        SELECT o.port_id AS port, o.host, p.network_id AS network,
               CASE o.what WHEN 'missing' THEN 'missing' WHEN 'orphan' THEN 'orphan' ELSE 'wrong-segment' END AS code
          FROM odd o
          JOIN neutron_ports p ON p.id = o.port_id
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
         WHERE COALESCE(a.updated_at, a.created_at) < $grace""",
)
