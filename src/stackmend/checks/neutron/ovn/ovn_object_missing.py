# SPDX-License-Identifier: Apache-2.0
"""OVN has nothing of a network, router or port of Neutron.

## What is wrong
Neutron has had the object for at least the age `settled`, and OVN's northbound database lacks it. The `code` says what
it is:

* `network`: no logical switch is named `neutron-<id>`, nor after one of the network's segments;
* `router`: Neutron has recorded that OVN is to have it, and no logical router is named `neutron-<id>`;
* `port`: the logical switch of its network is there, and no port on it is named by its id.

Left alone are ports of floating IPs, which OVN never has; ports of a network whose switch is missing, as that is the
finding; and routers that another driver serves (flavors), as Neutron records nothing of OVN for them.

## Why it matters
A server with such a port has no network: no flow of any host knows its address. A missing switch or router cuts off
everything behind it.

## How it comes about
The northbound database was restored from an older copy, or lost a transaction when its cluster was split; Neutron was
killed between its own commit and OVN's; or rows were written into Neutron's database by SQL, which tells OVN nothing.
Neutron's own maintenance looks at revision numbers alone: where they agree, it never asks whether OVN still has it.

## How to see it by hand
`ovn-nbctl find Logical_Switch name=neutron-<network>`, `ovn-nbctl find Logical_Router name=neutron-<router>`,
`ovn-nbctl find Logical_Switch_Port name=<port>` find nothing, and `openstack network show`, `openstack router show` or
`openstack port show` does.

## Repair and its risk
Neutron's own tool, by hand: first `neutron-ovn-db-sync-util --ovn-neutron_sync_mode log`, which changes nothing in OVN
and logs a warning for each difference; once its log names these objects, and nothing that you do not expect, with
`repair`. Give it the very files that Neutron itself is given: in both modes it starts ML2 with them, and makes the
tables of free segments in Neutron's database as they say.
With `logical_switch_per_vlan_segment` it takes the switches of all VLAN segments for those of deleted networks, and
deletes them: do not use it there. It goes through the whole cloud, also deletes what OVN has and Neutron has not, and
creates everything that it takes for missing: on a busy cloud, while objects are created or deleted, both may hit what
is in progress. Stop the API of Neutron, or choose a quiet hour. It does not compare whether ports are up (see
ovn-port-status-drift).
"""

from stackmend.checks.neutron.ovn import SYNCHRONISE
from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="ovn-object-missing",
    catalogue="I13",
    severity=Severity.ERROR,
    message="OVN lacks {code} {resource}",
    codes={"network": "network", "router": "router", "port": "port"},
    resource=("ovn-object", "resource"),
    key=("code", "resource"),
    needs=frozenset({"neutron"}),
    reads={
        "ovn_switches": {},
        "ovn_routers": {"router": "resource"},
        "ovn_ports": {"port": "resource"},
        "neutron_ovn_revisions": {"resource_uuid": "resource"},
        "neutron_networksegments": {"network_id": "resource"},
        "neutron_ports": {"id": "resource"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
    },
    explained_by={"ovn-db-drift": {"resource": "resource"}},
    ages={"settled": 900},
    by_hand=f"on a controller, with Neutron's configuration: {SYNCHRONISE}",
    sql="""
        WITH split AS (
            SELECT DISTINCT g.network_id FROM neutron_networksegments g JOIN ovn_switches s ON s.network = g.id),
        lacking AS (
            SELECT 'network' AS code, r.resource_uuid AS resource, r.created_at
              FROM neutron_ovn_revisions r
              LEFT JOIN ovn_switches s ON s.network = r.resource_uuid
              LEFT JOIN split ON split.network_id = r.resource_uuid
             WHERE r.resource_type = 'networks' AND r.standard_attr_id IS NOT NULL AND s.network IS NULL
               AND split.network_id IS NULL
            UNION ALL
            SELECT 'router' AS code, r.resource_uuid AS resource, r.created_at
              FROM neutron_ovn_revisions r
              LEFT JOIN ovn_routers o ON o.router = r.resource_uuid
             WHERE r.resource_type = 'routers' AND r.standard_attr_id IS NOT NULL AND o.router IS NULL
            UNION ALL
            SELECT 'port' AS code, p.id AS resource, a.created_at
              FROM neutron_ports p
              JOIN ovn_switches s ON s.network = p.network_id
              JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
              LEFT JOIN ovn_ports o ON o.port = p.id
             WHERE o.port IS NULL AND p.device_owner <> 'network:floatingip')
        SELECT DISTINCT code, resource FROM lacking WHERE created_at < $settled""",
)
