# SPDX-License-Identifier: Apache-2.0
"""Neutron's record of the segmentation ids in use disagrees with its networks.

## What is wrong
Each VLAN, VXLAN, Geneve or GRE id that a network uses is marked as used in a table of the type driver
(`ml2_vlan_allocations` and the like), and a segment of the network names it (`networksegments`). The `code` says what
does not fit:

* `leak`: the id is marked as used, but no network has it;
* `free`: a network has the VLAN, but it is marked as free (for tunnels this is not checked: their tables may have
  millions of free ids);
* `shared`: several networks have the same id on the same physical network.

## Why it matters
Networks that share an id are one network on the wire: their tenants can reach each other. A VLAN marked as free is
given to the next network, with the same effect. A leaked id is never used again; in time, no id is left.

## How it comes about
Two requests at the same moment (bug 1260262), networks deleted by SQL, or a provider network created with the id of
another one by SQL.

## How to see it by hand
`openstack network list --provider-segment <id> --long`; in the database, `SELECT allocated FROM ml2_vlan_allocations
WHERE physical_network = '<physical network>' AND vlan_id = <id>`.

## Repair and its risk
`mend-segment-allocation` marks a leaked id as free, or a used one as used. Make sure that the switches do not use a
leaked VLAN for something else. If networks share an id, the owner of one of them has to replace it: an id in use must
never be changed.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="segment-allocation-drift",
    catalogue="I10",
    severity=Severity.ERROR,
    message="{network_type} id {number} on physical network '{physical_network}': {code}",
    codes={
        "leak": "it is marked as used, but no network has it",
        "free": "network {network} has it, but it is marked as free",
        "shared": "{networks} networks have it, among them {network} and {other}",
    },
    resource=("network", "network"),
    key=("network_type", "physical_network", "number"),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_networksegments": {
            "network_type": "network_type",
            "physical_network": "physical_network",
            "segmentation_id": "number",
        },
        "neutron_segment_allocations": {
            "network_type": "network_type",
            "physical_network": "physical_network",
            "number": "number",
        },
    },
    by_hand=(
        "let the owner of one of the networks ({network}, {other}) move its ports to a new network: openstack network"
        " list --provider-segment {number}. Until then the networks are one on the wire"
    ),
    sql="""
        WITH used AS (
            SELECT network_type, physical_network, segmentation_id AS number, COUNT(DISTINCT network_id) AS networks,
                   MIN(network_id) AS network, MAX(network_id) AS other
              FROM neutron_networksegments
             WHERE network_type IN ('vlan', 'vxlan', 'geneve', 'gre') AND segmentation_id IS NOT NULL
             GROUP BY network_type, physical_network, segmentation_id)
        SELECT a.network_type, a.physical_network, a.number, 0 AS networks, '' AS network, '' AS other, 'leak' AS code
          FROM neutron_segment_allocations a
          LEFT JOIN used u ON u.network_type = a.network_type AND u.physical_network = a.physical_network
                          AND u.number = a.number
         WHERE a.allocated AND u.number IS NULL
        UNION ALL
        SELECT u.network_type, u.physical_network, u.number, u.networks, u.network, u.other, 'free' AS code
          FROM used u
          JOIN neutron_segment_allocations a ON a.network_type = u.network_type
                                            AND a.physical_network = u.physical_network AND a.number = u.number
         WHERE NOT a.allocated AND u.networks = 1
        UNION ALL
        SELECT network_type, physical_network, number, networks, network, other, 'shared' AS code
          FROM used
         WHERE networks > 1""",
)
