# SPDX-License-Identifier: Apache-2.0
"""OVN has a network, router or port that Neutron does not have.

## What is wrong
The object in OVN's northbound database carries the marks that Neutron's driver writes (`neutron:network_name`,
`neutron:router_name`, `neutron:port_name` among its `external_ids`), and Neutron has nothing with its id. The `code`
says what it is: `network` (a logical switch; a network or one of its segments), `router` or `port`.

What Neutron did not make is never looked at: ports to physical networks (`localnet`), load balancers, and anything that
another system keeps in the same OVN. Where Neutron has a record of the deletion (a row of `ovn_revision_numbers`
without `standard_attr_id`), its maintenance repeats it every five minutes: then see in its log why it fails.

## Why it matters
An address is still answered for, and may belong to another port by now: two ports of one address on one switch.
A gateway that is left keeps chassis busy. Otherwise it only takes space.

## How it comes about
Neutron deletes its own rows first; then OVN did not answer, and the record that the deletion is to be repeated was lost
or deleted. Rows of Neutron were deleted by SQL. Or Neutron's database was restored from an older copy: then also look
at ovn-revision-ahead.

## How to see it by hand
`ovn-nbctl find Logical_Switch_Port name=<id>` (Logical_Switch and Logical_Router with `name=neutron-<id>`), and
`openstack port show <id>` says that there is none.

## Repair and its risk
Neutron's own tool, by hand: first `neutron-ovn-db-sync-util --ovn-neutron_sync_mode log`, which changes nothing in OVN,
then with `repair`, which deletes the object (and everything else of that kind, and creates what OVN lacks: read the log
first). Give it the very files that Neutron itself is given: in both modes it makes the tables of free segments as they
say. With `logical_switch_per_vlan_segment` it deletes the switches of all VLAN segments, too: do not use it there, but
`ovn-nbctl lsp-del`, `ls-del` or `lr-del` with the name above. If Neutron's database is an old copy, the object is right
and Neutron is wrong: a server may be using the port. Do not delete anything before that is clear. What is deleted in
OVN is gone, but is made again from what Neutron has.
"""

from stackmend.checks.neutron.ovn import SYNCHRONISE
from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="ovn-object-orphan",
    catalogue="I13",
    severity=Severity.WARNING,
    message="OVN has {code} {resource}, which Neutron does not have",
    codes={"network": "network", "router": "router", "port": "port"},
    resource=("ovn-object", "resource"),
    key=("code", "resource"),
    needs=frozenset({"neutron"}),
    reads={
        "ovn_switches": {"network": "resource"},
        "ovn_routers": {"router": "resource"},
        "ovn_ports": {"port": "resource"},
        "neutron_networks": {"id": "resource"},
        "neutron_networksegments": {"id": "resource"},
        "neutron_routers": {"id": "resource"},
        "neutron_ports": {"id": "resource"},
    },
    by_hand=(f"if Neutron's database is not an old copy, on a controller, with Neutron's configuration: {SYNCHRONISE}"),
    sql="""
        SELECT DISTINCT 'network' AS code, s.network AS resource
          FROM ovn_switches s
          LEFT JOIN neutron_networks n ON n.id = s.network
          LEFT JOIN neutron_networksegments g ON g.id = s.network
         WHERE s.own AND s.network IS NOT NULL AND n.id IS NULL AND g.id IS NULL
        UNION ALL
        SELECT DISTINCT 'router' AS code, o.router AS resource
          FROM ovn_routers o
          LEFT JOIN neutron_routers r ON r.id = o.router
         WHERE o.own AND o.router IS NOT NULL AND r.id IS NULL
        UNION ALL
        SELECT DISTINCT 'port' AS code, o.port AS resource
          FROM ovn_ports o
          LEFT JOIN neutron_ports p ON p.id = o.port
         WHERE o.own AND p.id IS NULL""",
)
