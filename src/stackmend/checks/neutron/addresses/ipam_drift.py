# SPDX-License-Identifier: Apache-2.0
"""Neutron's two records of who has which address disagree.

## What is wrong
Neutron keeps the addresses of ports in `ipallocations`, and its address management (IPAM) keeps the addresses that are
taken in `ipamallocations`. No foreign key joins the two. The `code` says how they differ:

* `leak`: an address of the subnet is taken according to `ipamallocations`, but no port has it;
* `missing`: a port has the address, but it is not taken according to `ipamallocations`;
* `subnet-gone`: the subnet was deleted, and IPAM still has its record of it (`ipamsubnets`).

Addresses are compared as text, because Neutron writes each address in only one way. Clouds with an IPAM driver of their
own have no rows in these tables and no findings.

## Why it matters
A leaked address cannot be given to anybody ("IP address already allocated in subnet"), although no port has it; if many
are leaked, the subnet is exhausted. A missing address is offered to the next port, whose creation then fails. The rows
left of a deleted subnet only take space.

## How it comes about
A port was deleted by SQL, the transaction of a deletion was rolled back in part (bug 1706750), or one of the two tables
was restored without the other.

## How to see it by hand
`openstack port list --fixed-ip ip-address=<address>` shows no port, while `openstack port create --fixed-ip
subnet=<subnet>,ip-address=<address>` is refused. In the database:
`SELECT a.ip_address FROM ipamallocations a JOIN ipamsubnets s ON s.id = a.ipam_subnet_id WHERE s.neutron_subnet_id =
'<subnet>'`.

## Repair and its risk
`mend-ipam-allocation` deletes the row of a leaked address, inserts the missing one, or deletes what is left of a
deleted subnet. First make sure that nobody uses a leaked address (`arping`), because the next port may get it. The user
may be something outside Neutron, or a guest whose port was deleted by SQL (`info-cache-stale-port`; `restore-port`
takes the address again). No API shows or changes these rows.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="ipam-drift",
    catalogue="I5",
    severity=Severity.ERROR,
    message="subnet {subnet}: {code}",
    codes={
        "leak": "address {address} is taken in Neutron's IPAM, but no port has it",
        "missing": "port {port} has address {address}, which is not taken in Neutron's IPAM",
        "subnet-gone": "it was deleted, and Neutron's IPAM still has record {ipam_subnet} of it",
    },
    resource=("subnet", "subnet"),
    key=("ipam_subnet", "address"),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ipamsubnets": {"id": "ipam_subnet"},
        "neutron_subnets": {"id": "neutron_ipamsubnets.neutron_subnet_id"},
        "neutron_ipamallocations": {"ip_address": "address", "ipam_subnet_id": "ipam_subnet"},
        "neutron_ipallocations": {"ip_address": "address", "subnet_id": "neutron_ipamsubnets.neutron_subnet_id"},
    },
    # subnets with equal sums on both sides are left out first: a join of all addresses costs five times as much
    sql="""
        WITH fixed AS (
            SELECT subnet_id, COUNT(*) AS number, SUM(HASH(ip_address)) AS total
              FROM neutron_ipallocations GROUP BY subnet_id),
        taken AS (
            SELECT ipam_subnet_id, COUNT(*) AS number, SUM(HASH(ip_address)) AS total
              FROM neutron_ipamallocations GROUP BY ipam_subnet_id),
        unequal AS (
            SELECT i.id AS ipam_subnet, i.neutron_subnet_id AS subnet
              FROM neutron_ipamsubnets i
              LEFT JOIN fixed f ON f.subnet_id = i.neutron_subnet_id
              LEFT JOIN taken t ON t.ipam_subnet_id = i.id
             WHERE NULLIF(COALESCE(f.number, 0), COALESCE(t.number, 0)) IS NOT NULL
                OR NULLIF(COALESCE(f.total, 0), COALESCE(t.total, 0)) IS NOT NULL),
        some_fixed AS (
            SELECT u.ipam_subnet, u.subnet, f.ip_address AS address, f.port_id AS port
              FROM neutron_ipallocations f JOIN unequal u ON u.subnet = f.subnet_id),
        some_taken AS (
            SELECT u.ipam_subnet, u.subnet, a.ip_address AS address
              FROM neutron_ipamallocations a JOIN unequal u ON u.ipam_subnet = a.ipam_subnet_id),
        leaked AS (
            SELECT t.ipam_subnet, t.subnet, t.address
              FROM some_taken t
              LEFT JOIN some_fixed f ON f.ipam_subnet = t.ipam_subnet AND f.address = t.address
             WHERE f.address IS NULL),
        unreserved AS (
            SELECT f.ipam_subnet, f.subnet, f.address, f.port
              FROM some_fixed f
              LEFT JOIN some_taken t ON t.ipam_subnet = f.ipam_subnet AND t.address = f.address
             WHERE t.address IS NULL AND f.port IS NOT NULL)
        SELECT l.ipam_subnet, l.subnet, l.address, NULL AS port, 'leak' AS code
          FROM leaked l
          JOIN neutron_subnets s ON s.id = l.subnet
        UNION ALL
        SELECT u.ipam_subnet, u.subnet, u.address, u.port, 'missing' AS code
          FROM unreserved u
          JOIN neutron_subnets s ON s.id = u.subnet
        UNION ALL
        SELECT i.id AS ipam_subnet, i.neutron_subnet_id AS subnet, '' AS address, NULL AS port,
               'subnet-gone' AS code
          FROM neutron_ipamsubnets i
          LEFT JOIN neutron_subnets s ON s.id = i.neutron_subnet_id
         WHERE s.id IS NULL AND i.neutron_subnet_id IS NOT NULL""",
)
