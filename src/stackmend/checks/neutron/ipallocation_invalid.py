# SPDX-License-Identifier: Apache-2.0
"""An address in Neutron belongs to no port, or does not fit its port's network or its subnet.

## What is wrong
A row of `ipallocations` gives an address of a subnet to a port. The `code` says what is wrong with it:

* `no-port`: it names no port;
* `wrong-network`: it names a network other than that of its port and its subnet, which agree;
* `foreign-subnet`: the subnet belongs to another network than the port;
* `outside-subnet`: the IPv4 address is not one of the subnet's (IPv6 addresses are not checked).

## Why it matters
An address without a port cannot be given to anybody. A port with an address that does not fit has no connectivity on
it, and calls that change the port may fail.

## How it comes about
Rows were edited by SQL; very old releases of Neutron kept addresses without a port.

## How to see it by hand
`openstack port show <port> -c fixed_ips -c network_id`, `openstack subnet show <subnet> -c network_id -c cidr`. An
address without a port is only in the database:
`SELECT ip_address, subnet_id FROM ipallocations WHERE port_id IS NULL`.

## Repair and its risk
`mend-ipallocation` deletes a row without a port, together with its row in Neutron's IPAM, or corrects the network in a
row to that of the port and the subnet. Before the former, make sure that nobody uses the address (`arping`). An address
that does not fit may be what the guest has configured, so it is left to a human; the plan has the command.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="ipallocation-invalid",
    catalogue="I6",
    severity=Severity.WARNING,
    message="address {address} of subnet {subnet}: {code}",
    codes={
        "no-port": "it belongs to no port",
        "wrong-network": "its row names network {network} instead of {port_network}, the one of port {port}",
        "foreign-subnet": "port {port} is in network {port_network}, and the subnet in {subnet_network}",
        "outside-subnet": "port {port} has it, but the subnet is {cidr}",
    },
    resource=("subnet", "subnet"),
    key=("subnet", "address", "network"),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_subnets": {"id": "subnet"},
        "neutron_ipallocations": {"ip_address": "address", "subnet_id": "subnet", "network_id": "network"},
        "neutron_ports": {"id": "neutron_ipallocations.port_id"},
    },
    settle=False,
    by_hand=(
        "find out what the guest uses, then: openstack port set --fixed-ip"
        " subnet=<a subnet of network {port_network}>,ip-address=<address> {port}, and openstack port unset --fixed-ip"
        " subnet={subnet},ip-address={address} {port}"
    ),
    # an IPv4 address as a number, part by part; anything else has none
    sql="""
        WITH blocks AS (
            SELECT id, 256 * (256 * (256 * a + TRY_CAST(b AS BIGINT)) + TRY_CAST(c AS BIGINT))
                       + TRY_CAST(SUBSTR(r, 1, INSTR(r, '/') - 1) AS BIGINT) AS base,
                   POWER(2, 32 - TRY_CAST(SUBSTR(r, INSTR(r, '/') + 1) AS BIGINT)) AS size
              FROM (SELECT id, a, b, SUBSTR(r, 1, INSTR(r, '.') - 1) AS c, SUBSTR(r, INSTR(r, '.') + 1) AS r
                      FROM (SELECT id, a, SUBSTR(r, 1, INSTR(r, '.') - 1) AS b, SUBSTR(r, INSTR(r, '.') + 1) AS r
                              FROM (SELECT id, TRY_CAST(SUBSTR(cidr, 1, INSTR(cidr, '.') - 1) AS BIGINT) AS a,
                                           SUBSTR(cidr, INSTR(cidr, '.') + 1) AS r
                                      FROM neutron_subnets WHERE cidr LIKE '%.%.%.%/%') x) y) z),
        outside AS (
            SELECT f.ip_address, f.subnet_id, f.network_id
              FROM (SELECT ip_address, subnet_id, network_id, a, b, SUBSTR(r, 1, INSTR(r, '.') - 1) AS c,
                           SUBSTR(r, INSTR(r, '.') + 1) AS d
                      FROM (SELECT ip_address, subnet_id, network_id, a, SUBSTR(r, 1, INSTR(r, '.') - 1) AS b,
                                   SUBSTR(r, INSTR(r, '.') + 1) AS r
                              FROM (SELECT ip_address, subnet_id, network_id,
                                           SUBSTR(ip_address, 1, INSTR(ip_address, '.') - 1) AS a,
                                           SUBSTR(ip_address, INSTR(ip_address, '.') + 1) AS r
                                      FROM neutron_ipallocations
                                     WHERE port_id IS NOT NULL AND ip_address LIKE '%.%.%.%') x) y) f
              JOIN blocks s ON s.id = f.subnet_id
             WHERE NULLIF(FLOOR((256 * (256 * (256 * TRY_CAST(f.a AS BIGINT) + TRY_CAST(f.b AS BIGINT))
                                        + TRY_CAST(f.c AS BIGINT)) + TRY_CAST(f.d AS BIGINT)) / s.size),
                          FLOOR(s.base / s.size)) IS NOT NULL),
        strange AS (
            SELECT f.ip_address, f.subnet_id, f.network_id
              FROM neutron_ipallocations f
              JOIN neutron_subnets s ON s.id = f.subnet_id
              LEFT JOIN neutron_ports p ON p.id = f.port_id
             WHERE f.port_id IS NULL OR NULLIF(s.network_id, f.network_id) IS NOT NULL
                OR NULLIF(p.network_id, f.network_id) IS NOT NULL
            UNION
            SELECT ip_address, subnet_id, network_id FROM outside)
        SELECT t.subnet_id AS subnet, t.ip_address AS address, t.network_id AS network, f.port_id AS port,
               p.network_id AS port_network, s.network_id AS subnet_network, s.cidr,
               CASE WHEN f.port_id IS NULL THEN 'no-port'
                    WHEN NULLIF(s.network_id, p.network_id) IS NOT NULL THEN 'foreign-subnet'
                    WHEN NULLIF(t.network_id, p.network_id) IS NOT NULL THEN 'wrong-network'
                    ELSE 'outside-subnet' END AS code
          FROM strange t
          JOIN neutron_ipallocations f
            ON f.ip_address = t.ip_address AND f.subnet_id = t.subnet_id AND f.network_id = t.network_id
          JOIN neutron_subnets s ON s.id = t.subnet_id
          LEFT JOIN neutron_ports p ON p.id = f.port_id
         WHERE f.port_id IS NULL OR p.id IS NOT NULL""",
)
