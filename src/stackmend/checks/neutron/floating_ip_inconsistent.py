# SPDX-License-Identifier: Apache-2.0
"""The parts of a floating IP disagree.

## What is wrong
A floating IP names the port that holds its public address, the port and address it leads to, and the router that joins
them. The `code` says which of them does not fit:

* `fixed-address`: the port it leads to does not have the address it leads to, or no address is named;
* `router`: no router is named, or the router has no interface in the port's network or no gateway in the external
  network;
* `public-address`: the port that holds its public address has another address;
* `status`: it is ACTIVE, but leads to no port.

A floating IP that is DOWN or in ERROR although everything fits is not reported: that depends on the agents. One with
port forwardings names a router and no port, and is not reported either.

## Why it matters
The server cannot be reached at its public address, although the API shows it as associated.

## How it comes about
The addresses of a port were changed by SQL, a router was replaced, or Neutron died in the middle of an association.

## How to see it by hand
`openstack floating ip show <address>` has port_id, fixed_ip_address and router_id; compare with
`openstack port show <port> -c fixed_ips` and `openstack port list --router <router>`.

## Repair and its risk
With the API, associate it again: `openstack floating ip unset --port <floating ip>`, then
`openstack floating ip set --port <port> --fixed-ip-address <address> <floating ip>`. `mend-floating-ip` sets the
columns in the database, if the port has exactly one IPv4 address and exactly one router joins the networks. Never
delete the floating IP or the port that holds its address: the address would be lost.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="floating-ip-inconsistent",
    catalogue="I1",
    severity=Severity.ERROR,
    message="floating IP {address} ({floating_ip}): {code}",
    codes={
        "fixed-address": "it leads to address {fixed_address} of port {port}, which the port does not have",
        "router": "router {router} does not join port {port} to the external network",
        "public-address": "port {public_port}, which should hold it, has another address",
        "status": "it is ACTIVE, but leads to no port",
    },
    resource=("floating-ip", "floating_ip"),
    key=("floating_ip", "code"),
    needs=frozenset({"neutron"}),
    # one address of one port is judged: held, held_by
    reads={
        "neutron_floatingips": {"id": "floating_ip"},
        "neutron_other_attributes": {"id": "neutron_floatingips.standard_attr_id"},
        "neutron_portforwardings": {"floatingip_id": "floating_ip"},
        "neutron_ipallocations": {"port_id": "held_by", "ip_address": "held"},
        "neutron_routerports": {"router_id": "neutron_floatingips.router_id"},
        "neutron_ports": {"id": "neutron_routerports.port_id"},
    },
    ages={"grace": 600},
    explained_by={"router-port-drift": {"router": "router"}},
    sql="""
        WITH settled AS (
            SELECT f.id
              FROM neutron_floatingips f
              JOIN neutron_other_attributes a ON a.id = f.standard_attr_id
             WHERE COALESCE(a.updated_at, a.created_at) < $grace),
        interfaces AS (
            SELECT DISTINCT r.router_id, p.network_id
              FROM neutron_routerports r
              JOIN neutron_ports p ON p.id = r.port_id
             WHERE r.port_type IN ('network:router_interface', 'network:router_interface_distributed',
                                   'network:ha_router_replicated_interface')),
        gateways AS (
            SELECT DISTINCT r.router_id, p.network_id
              FROM neutron_routerports r
              JOIN neutron_ports p ON p.id = r.port_id
             WHERE r.port_type = 'network:router_gateway')
        SELECT f.id AS floating_ip, f.floating_ip_address AS address, f.fixed_port_id AS port,
               f.fixed_ip_address AS fixed_address, f.router_id AS router, f.floating_port_id AS public_port,
               f.fixed_port_id AS held_by, f.fixed_ip_address AS held, 'fixed-address' AS code
          FROM neutron_floatingips f
          JOIN settled s ON s.id = f.id
          LEFT JOIN neutron_ipallocations i ON i.port_id = f.fixed_port_id AND i.ip_address = f.fixed_ip_address
         WHERE f.fixed_port_id IS NOT NULL AND i.port_id IS NULL
        UNION ALL
        SELECT f.id AS floating_ip, f.floating_ip_address AS address, f.fixed_port_id AS port,
               f.fixed_ip_address AS fixed_address, f.router_id AS router, f.floating_port_id AS public_port,
               f.fixed_port_id AS held_by, f.fixed_ip_address AS held, 'router' AS code
          FROM neutron_floatingips f
          JOIN settled s ON s.id = f.id
          JOIN neutron_ipallocations i ON i.port_id = f.fixed_port_id AND i.ip_address = f.fixed_ip_address
          LEFT JOIN interfaces n ON n.router_id = f.router_id AND n.network_id = i.network_id
          LEFT JOIN gateways g ON g.router_id = f.router_id AND g.network_id = f.floating_network_id
         WHERE n.router_id IS NULL OR g.router_id IS NULL
        UNION ALL
        SELECT f.id AS floating_ip, f.floating_ip_address AS address, f.fixed_port_id AS port,
               f.fixed_ip_address AS fixed_address, f.router_id AS router, f.floating_port_id AS public_port,
               f.floating_port_id AS held_by, f.floating_ip_address AS held, 'public-address' AS code
          FROM neutron_floatingips f
          JOIN settled s ON s.id = f.id
          LEFT JOIN neutron_ipallocations i ON i.port_id = f.floating_port_id AND i.ip_address = f.floating_ip_address
         WHERE i.port_id IS NULL
        UNION ALL
        SELECT f.id AS floating_ip, f.floating_ip_address AS address, f.fixed_port_id AS port,
               f.fixed_ip_address AS fixed_address, f.router_id AS router, f.floating_port_id AS public_port,
               NULL AS held_by, NULL AS held, 'status' AS code
          FROM neutron_floatingips f
          JOIN settled s ON s.id = f.id
          LEFT JOIN neutron_portforwardings w ON w.floatingip_id = f.id
         WHERE f.fixed_port_id IS NULL AND f.router_id IS NULL AND f.status = 'ACTIVE' AND w.id IS NULL""",
)
