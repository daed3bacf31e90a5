# SPDX-License-Identifier: Apache-2.0
"""A router and one of its ports disagree.

## What is wrong
A port names its router (`device_owner`, `device_id`), and the router has a row for the port (`routerports`). The router
also names its gateway port (`gw_port_id`). The `code` says what does not fit:

* `no-row`: the router exists, but has no row for the port;
* `wrong-row`: the row names a router other than the port's, or another kind of port;
* `router-gone`: the router does not exist;
* `gateway`: the port that the router names as its gateway is not a gateway, or belongs to another router.

## Why it matters
The subnet is not routed: the L3 agent is told only of ports with a row, and Neutron gives the router a second interface
in the network if asked. A release that looks for nothing but rows does not remove such an interface either, and none
deletes its port, because it is "owned by" the router. A port without its router uses an address, often the gateway's.

## How it comes about
Adding or removing an interface was interrupted (bug 1540271), `device_owner` was edited, or a router was deleted by
SQL.

## How to see it by hand
`openstack port show <port> -c device_owner -c device_id`, `openstack router show <router> -c interfaces_info
-c external_gateway_info`; in the database: `SELECT router_id, port_type FROM routerports WHERE port_id = '<port>'`.

## Repair and its risk
`mend-router-port` inserts the missing row or corrects the kind of port in it. `delete-router-port` deletes a port whose
router is gone; its address returns to the pool. A wrong gateway is set through the API, by a human, because it changes
the router's external address: `openstack router set --external-gateway <network> <router>`. Never clear the owner of a
port to be able to delete it.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="router-port-drift",
    catalogue="I3",
    severity=Severity.ERROR,
    message="port {port} ({owner}) of router {router}: {code}",
    codes={
        "no-row": "the router has no record of it",
        "wrong-row": "the record of it names router {row_router} and kind {row_type}",
        "router-gone": "the router does not exist",
        "gateway": "the router names it as its gateway, but it is not one of this router",
    },
    resource=("port", "port"),
    key=("router", "port"),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_routers": {"id": "router"},
        "neutron_routerports": {"port_id": "port"},
    },
    ages={"grace": 600},
    by_hand=(
        "find out which of the two is right ('openstack router show {router}'), then set it through the API: openstack"
        " router set --external-gateway <network> {router}, or openstack router add port {router} {port}"
    ),
    sql="""
        WITH owned AS (
            SELECT id, device_id, device_owner, standard_attr_id
              FROM neutron_ports
             WHERE device_owner IN ('network:router_interface', 'network:router_interface_distributed',
                                    'network:ha_router_replicated_interface', 'network:router_gateway',
                                    'network:router_centralized_snat', 'network:router_ha_interface'))
        SELECT p.device_id AS router, p.id AS port, p.device_owner AS owner, x.router_id AS row_router,
               x.port_type AS row_type,
               CASE WHEN r.id IS NULL THEN 'router-gone'
                    WHEN x.port_id IS NULL THEN 'no-row'
                    ELSE 'wrong-row' END AS code
          FROM owned p
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
          LEFT JOIN neutron_routers r ON r.id = p.device_id
          LEFT JOIN neutron_routerports x ON x.port_id = p.id
         WHERE COALESCE(a.updated_at, a.created_at) < $grace
           AND (r.id IS NULL OR x.port_id IS NULL OR NULLIF(x.router_id, p.device_id) IS NOT NULL
                OR NULLIF(COALESCE(x.port_type, ''), p.device_owner) IS NOT NULL)
        UNION ALL
        SELECT r.id AS router, p.id AS port, p.device_owner AS owner, r.id AS row_router, NULL AS row_type,
               'gateway' AS code
          FROM neutron_routers r
          JOIN neutron_ports p ON p.id = r.gw_port_id
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
         WHERE COALESCE(a.updated_at, a.created_at) < $grace
           AND (p.device_owner <> 'network:router_gateway' OR NULLIF(p.device_id, r.id) IS NOT NULL)""",
)
