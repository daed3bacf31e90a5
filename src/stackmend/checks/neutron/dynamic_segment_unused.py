# SPDX-License-Identifier: Apache-2.0
"""A dynamic segment of a network is used by no port.

## What is wrong
For hierarchical port binding, Neutron takes a VLAN (or another id) on a physical network when the first port of a
network is bound below a switch, and gives it back with the last one. Such a *dynamic* segment still exists, but no
level of any port's binding names it.

## Why it matters
Its VLAN cannot be used by other networks, of which there are few thousands for a physical network, and it stays
configured on the switches.

## How it comes about
Neutron died while it unbound the last port, or the port was deleted by SQL.

## How to see it by hand
`SELECT s.id, s.network_id, s.physical_network, s.segmentation_id FROM networksegments s LEFT JOIN
ml2_port_binding_levels l ON l.segment_id = s.id WHERE s.is_dynamic = 1 AND l.segment_id IS NULL`.

## Repair and its risk
`release-dynamic-segment` deletes the segment and marks its id as free. First make sure that the switches do not carry
the VLAN for anything else.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="dynamic-segment-unused",
    catalogue="-",
    severity=Severity.WARNING,
    message="dynamic segment {segment} of network {network} ({network_type} {number}, {physical_network}) is not used",
    resource=("segment", "segment"),
    key=("segment",),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_networksegments": {"id": "segment"},
        "neutron_other_attributes": {"id": "neutron_networksegments.standard_attr_id"},
        "neutron_ml2_port_binding_levels": {"segment_id": "segment"},
    },
    ages={"grace": 3600},
    settle=False,
    sql="""
        WITH dynamic AS (
            SELECT s.id, s.network_id, s.network_type, s.physical_network, s.segmentation_id
              FROM neutron_networksegments s
              JOIN neutron_other_attributes a ON a.id = s.standard_attr_id
             WHERE s.is_dynamic AND COALESCE(a.updated_at, a.created_at) < $grace),
        used AS (
            SELECT DISTINCT d.id FROM neutron_ml2_port_binding_levels l JOIN dynamic d ON d.id = l.segment_id)
        SELECT d.id AS segment, d.network_id AS network, d.network_type, d.physical_network,
               d.segmentation_id AS number
          FROM dynamic d
          LEFT JOIN used u ON u.id = d.id
         WHERE u.id IS NULL""",
)
