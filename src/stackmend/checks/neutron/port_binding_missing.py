# SPDX-License-Identifier: Apache-2.0
"""A port has no active binding.

## What is wrong
Neutron records where each port is plugged: one row in `ml2_port_bindings` with status ACTIVE, even if the port is
unbound. This port has no such row. The `code` says what it has instead:

* `none`: no row at all;
* `only-inactive`: only rows with status INACTIVE, as a live migration creates them.

Interfaces of distributed routers have their bindings in a table of their own and are not reported.

## Why it matters
Every change of the port through the API ends in HTTP 500, and Nova can neither plug it nor detach it cleanly: the next
hard reboot of the server fails.

## How it comes about
The rollback of a live migration deleted the binding that had just been activated, or rows were deleted by SQL.

## How to see it by hand
`openstack port show <port>` has no `binding_host_id`; `GET /v2.0/ports/<port>/bindings` in Neutron's API.

## Repair and its risk
`restore-port-binding` activates the inactive binding on the server's host, or creates one there. Through the API,
Neutron creates and binds it itself. Never delete and re-create the port: its address would be lost.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity

CHECK = Check(
    name="port-binding-missing",
    catalogue="A14",
    severity=Severity.ERROR,
    message="port {port} ({owner} {device}) has no active binding: {code}",
    codes={
        "none": "it has no binding at all",
        "only-inactive": "it has only an inactive one, on {left_host}",
    },
    resource=("port", "port"),
    key=("port",),
    sight=guest(),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move", "start"}),
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
    },
    spares=frozenset({"neutron_ml2_port_bindings.inactive"}),
    ages={"grace": 600},
    sql="""
        WITH unbound AS (
            SELECT p.id, p.device_id, p.device_owner, p.standard_attr_id
              FROM neutron_ports p
              LEFT JOIN neutron_ml2_port_bindings b ON b.port_id = p.id AND b.status = 'ACTIVE'
             WHERE b.port_id IS NULL
               AND p.device_owner NOT IN ('network:router_interface_distributed',
                                          'network:ha_router_replicated_interface'))
        SELECT p.id AS port, p.device_id AS device, p.device_owner AS owner, p.device_id AS server,
               MIN(b.host) AS left_host, CASE WHEN COUNT(b.port_id) = 0 THEN 'none' ELSE 'only-inactive' END AS code
          FROM unbound p
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
          LEFT JOIN neutron_ml2_port_bindings b ON b.port_id = p.id
         WHERE COALESCE(a.updated_at, a.created_at) < $grace
         GROUP BY p.id, p.device_id, p.device_owner""",
)
