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
    # an IPv4 address as a number, part by part; anything else has none. Texts of all rows are not compared, which would
    # cost more: only the lowest and highest numbers of a subnet, and hashes. What differs is looked at in one pass
    sql="""
        WITH numbered AS (
            SELECT subnet_id, MIN(number) AS lowest, MAX(number) AS highest, MIN(network) AS network,
                   MAX(network) AS other
              FROM (SELECT subnet_id, HASH(network_id) AS network,
                           16777216 * TRY_CAST(SPLIT_PART(ip_address, '.', 1) AS BIGINT)
                           + 65536 * TRY_CAST(SPLIT_PART(ip_address, '.', 2) AS BIGINT)
                           + 256 * TRY_CAST(SPLIT_PART(ip_address, '.', 3) AS BIGINT)
                           + TRY_CAST(SPLIT_PART(ip_address, '.', 4) AS BIGINT) AS number
                      FROM neutron_ipallocations) f
             GROUP BY subnet_id),
        blocks AS (
            SELECT id, network_id, 16777216 * TRY_CAST(SPLIT_PART(cidr, '.', 1) AS BIGINT)
                       + 65536 * TRY_CAST(SPLIT_PART(cidr, '.', 2) AS BIGINT)
                       + 256 * TRY_CAST(SPLIT_PART(cidr, '.', 3) AS BIGINT)
                       + TRY_CAST(SPLIT_PART(SPLIT_PART(cidr, '/', 1), '.', 4) AS BIGINT) AS base,
                   POWER(2, 32 - TRY_CAST(SPLIT_PART(cidr, '/', 2) AS BIGINT)) AS size
              FROM neutron_subnets),
        odd AS (
            SELECT b.id, b.network_id, b.base, b.size
              FROM numbered n
              JOIN blocks b ON b.id = n.subnet_id
             WHERE NULLIF(n.network, HASH(b.network_id)) IS NOT NULL
                OR NULLIF(n.other, HASH(b.network_id)) IS NOT NULL
                OR NULLIF(FLOOR(n.lowest / b.size), FLOOR(b.base / b.size)) IS NOT NULL
                OR NULLIF(FLOOR(n.highest / b.size), FLOOR(b.base / b.size)) IS NOT NULL),
        strange AS (
            SELECT f.ip_address, f.subnet_id, f.network_id, f.port_id
              FROM neutron_ipallocations f
              LEFT JOIN odd o ON o.id = f.subnet_id
              LEFT JOIN (SELECT HASH(id, network_id) AS pair FROM neutron_ports) p
                ON p.pair = HASH(f.port_id, f.network_id)
             WHERE p.pair IS NULL
                OR (o.id IS NOT NULL
                    AND (NULLIF(o.network_id, f.network_id) IS NOT NULL
                         OR NULLIF(FLOOR((16777216 * TRY_CAST(SPLIT_PART(f.ip_address, '.', 1) AS BIGINT)
                                          + 65536 * TRY_CAST(SPLIT_PART(f.ip_address, '.', 2) AS BIGINT)
                                          + 256 * TRY_CAST(SPLIT_PART(f.ip_address, '.', 3) AS BIGINT)
                                          + TRY_CAST(SPLIT_PART(f.ip_address, '.', 4) AS BIGINT)) / o.size),
                                   FLOOR(o.base / o.size)) IS NOT NULL))),
        holders AS (
            SELECT DISTINCT p.id, p.network_id FROM strange t JOIN neutron_ports p ON p.id = t.port_id)
        SELECT t.subnet_id AS subnet, t.ip_address AS address, t.network_id AS network, t.port_id AS port,
               p.network_id AS port_network, s.network_id AS subnet_network, s.cidr,
               CASE WHEN t.port_id IS NULL THEN 'no-port'
                    WHEN NULLIF(s.network_id, p.network_id) IS NOT NULL THEN 'foreign-subnet'
                    WHEN NULLIF(t.network_id, p.network_id) IS NOT NULL THEN 'wrong-network'
                    ELSE 'outside-subnet' END AS code
          FROM strange t
          JOIN neutron_subnets s ON s.id = t.subnet_id
          LEFT JOIN holders p ON p.id = t.port_id
         WHERE t.port_id IS NULL OR p.id IS NOT NULL""",
)
