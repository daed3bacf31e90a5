# SPDX-License-Identifier: Apache-2.0
"""The parts of a floating IP disagree.

## What is wrong
A floating IP names the port and address it leads to, and the router that joins that network to the external one. The
`code` says which of them does not fit:

* `fixed-address`: the port it leads to does not have the address it leads to, or no address is named;
* `router`: no router is named, or the router has no interface in the port's network or no gateway in the external
  network;
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
        "status": "it is ACTIVE, but leads to no port",
    },
    resource=("floating-ip", "floating_ip"),
    key=("floating_ip", "code"),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_floatingips": {"id": "floating_ip"},
        "neutron_other_attributes": {"id": "neutron_floatingips.standard_attr_id"},
        "neutron_portforwardings": {"floatingip_id": "floating_ip"},
        "neutron_ipallocations": {"port_id": "neutron_floatingips.fixed_port_id"},
        "neutron_routerports": {"router_id": "neutron_floatingips.router_id"},
        "neutron_ports": {"id": "neutron_routerports.port_id"},
    },
    ages={"grace": 600},
    # a router without a record of its port explains that the router does not join, and nothing else
    explained_by={"router-port-drift": {"unjoined": "router"}},
    # each query under WITH is small: floating IPs that lead to a port, and ports of routers
    sql="""
        WITH settled AS (
            SELECT f.id, f.floating_ip_address, f.floating_network_id, f.fixed_port_id, f.fixed_ip_address, f.router_id,
                   f.status
              FROM neutron_floatingips f
              JOIN neutron_other_attributes a ON a.id = f.standard_attr_id
             WHERE COALESCE(a.updated_at, a.created_at) < $grace),
        associated AS (
            SELECT id, floating_network_id, fixed_port_id, fixed_ip_address, router_id
              FROM settled WHERE fixed_port_id IS NOT NULL),
        held AS (
            SELECT DISTINCT f.id, f.floating_network_id, f.router_id, i.network_id
              FROM neutron_ipallocations i
              JOIN associated f ON f.fixed_port_id = i.port_id AND f.fixed_ip_address = i.ip_address),
        ways AS (
            SELECT DISTINCT r.router_id, p.network_id, r.port_type = 'network:router_gateway' AS outside
              FROM neutron_routerports r
              JOIN neutron_ports p ON p.id = r.port_id
             WHERE r.port_type IN ('network:router_interface', 'network:router_interface_distributed',
                                   'network:ha_router_replicated_interface', 'network:router_gateway')),
        wrong AS (
            SELECT f.id, 'fixed-address' AS code
              FROM associated f
              LEFT JOIN held h ON h.id = f.id
             WHERE h.id IS NULL
            UNION ALL
            SELECT h.id, 'router' AS code
              FROM held h
              LEFT JOIN ways i ON i.router_id = h.router_id AND i.network_id = h.network_id AND NOT i.outside
              LEFT JOIN ways o ON o.router_id = h.router_id AND o.network_id = h.floating_network_id AND o.outside
             WHERE i.router_id IS NULL OR o.router_id IS NULL
            UNION ALL
            SELECT f.id, 'status' AS code
              FROM settled f
              LEFT JOIN neutron_portforwardings w ON w.floatingip_id = f.id
             WHERE f.fixed_port_id IS NULL AND f.router_id IS NULL AND f.status = 'ACTIVE' AND w.id IS NULL)
        SELECT w.id AS floating_ip, f.floating_ip_address AS address, f.fixed_port_id AS port,
               f.fixed_ip_address AS fixed_address, f.router_id AS router, w.code,
               CASE WHEN w.code = 'router' THEN f.router_id END AS unjoined
          FROM wrong w
          JOIN settled f ON f.id = w.id""",
)
