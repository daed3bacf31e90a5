# SPDX-License-Identifier: Apache-2.0
"""OVN has a later revision of an object than Neutron: every change of it is refused.

## What is wrong
Neutron writes its own revision number to each network, router and port in OVN (`neutron:revision_number`), and refuses
to write a lower one over a higher one. That in OVN is higher than Neutron's, and Neutron has not changed the object for
at least the age `settled`.

## Why it matters
What users change (an address, a security group, another host) reaches Neutron's database and never OVN, until its
revision has caught up. The port of a server that is moved stays bound to its old host. The log of Neutron says so at
level debug or info alone.

## How it comes about
Neutron's database was restored from an older copy, or is a replica that has become the primary and lacks the last
changes. Seldom: somebody wrote to OVN by hand.

## How to see it by hand
`ovn-nbctl get Logical_Switch_Port <port> 'external_ids:neutron\\:revision_number'`, and `openstack port show <port> -c
revision_number`; in the log of Neutron: `RevisionConflict`.

## Repair and its risk
By hand, since the tool of Neutron (`neutron-ovn-db-sync-util`) compares no revisions of objects that both sides have.
First find out whether Neutron's database is the right one: if it lost changes, they may still be read from OVN. Then
set the number in OVN to a lower one, and let Neutron write the object again: its maintenance does so within five
minutes if its own record says that OVN is behind. Setting the number changes no traffic; writing the object again
brings OVN to what Neutron has, and a server may lose what only OVN still had.
"""

from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="ovn-revision-ahead",
    catalogue="I13",
    severity=Severity.ERROR,
    message="OVN has revision {revision} of {code} {resource}, Neutron only {neutron_revision}: changes are refused",
    codes={"network": "network", "router": "router", "port": "port"},
    resource=("ovn-object", "resource"),
    key=("code", "resource"),
    needs=frozenset({"neutron"}),
    reads={
        "ovn_switches": {"network": "resource"},
        "ovn_routers": {"router": "resource"},
        "ovn_ports": {"port": "resource"},
        "neutron_ovn_revisions": {"resource_uuid": "resource"},
    },
    ages={"settled": 900},
    by_hand=(
        "find out first whether Neutron's database is an old copy. If it is right: ovn-nbctl set {table} {name}"
        " 'external_ids:neutron\\:revision_number=0', then change the object in Neutron, for example its description,"
        " so that it is written again"
    ),
    sql="""
        WITH theirs AS (
            SELECT 'networks' AS kind, 'network' AS code, 'Logical_Switch' AS "table", 'neutron-' || network AS name,
                   network AS id, revision
              FROM ovn_switches WHERE network IS NOT NULL
            UNION ALL
            SELECT 'routers' AS kind, 'router' AS code, 'Logical_Router' AS "table", 'neutron-' || router AS name,
                   router AS id, revision
              FROM ovn_routers WHERE router IS NOT NULL
            UNION ALL
            SELECT 'ports' AS kind, 'port' AS code, 'Logical_Switch_Port' AS "table", port AS name, port AS id, revision
              FROM ovn_ports)
        SELECT o.code, r.resource_uuid AS resource, MAX(o.revision) AS revision, r.neutron_revision, o."table", o.name
          FROM theirs o
          JOIN neutron_ovn_revisions r ON r.resource_uuid = o.id AND r.resource_type = o.kind
         WHERE o.revision > r.neutron_revision AND r.changed_at < $settled
         GROUP BY o.code, r.resource_uuid, r.neutron_revision, o."table", o.name""",
)
