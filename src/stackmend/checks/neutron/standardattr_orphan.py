# SPDX-License-Identifier: Apache-2.0
"""A row of Neutron's standard attributes belongs to no resource.

## What is wrong
Each resource of Neutron has a row in `standardattributes` with its description, times and revision number, and that
row is what Neutron deletes to delete the resource. No resource refers to this one. Only ports, networks, segments,
subnets, subnet pools, routers, floating IPs and security groups are judged: the tables of other resources may be
missing if their extension is not installed.

## Why it matters
The rows, and tags and provisioning blocks on them, only take space. But they show that resources were deleted by SQL,
so their addresses may have leaked as well (`ipam-drift`).

## How it comes about
`DELETE FROM ports ...` and the like: the foreign key goes from the resource to `standardattributes`, so the row stays.

## How to see it by hand
For ports: `SELECT s.id, s.created_at FROM standardattributes s LEFT JOIN ports p ON p.standard_attr_id = s.id WHERE
s.resource_type = 'ports' AND p.id IS NULL`.

## Repair and its risk
`delete-standard-attribute` deletes the row with its tags and provisioning blocks. Nothing refers to them.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.neutron import RESOURCES

CHECK = Check(
    name="standardattr-orphan",
    catalogue="I11",
    severity=Severity.INFO,
    message="row {attribute} of standardattributes, made for {resource_type} at {created_at}, belongs to no resource",
    resource=("attribute", "attribute"),
    key=("attribute",),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_standardattributes": {"id": "attribute"},
        "neutron_other_attributes": {"id": "attribute"},
        "neutron_resources": {"standard_attr_id": "attribute"},
    },
    ages={"grace": 3600},
    settle=False,
    sql=f"""
        SELECT a.id AS attribute, 'ports' AS resource_type, a.created_at
          FROM neutron_standardattributes a
          LEFT JOIN neutron_resources r ON r.standard_attr_id = a.id
         WHERE r.standard_attr_id IS NULL AND a.created_at < $grace
        UNION ALL
        SELECT a.id AS attribute, a.resource_type, a.created_at
          FROM neutron_other_attributes a
          LEFT JOIN neutron_resources r ON r.standard_attr_id = a.id
         WHERE r.standard_attr_id IS NULL AND a.created_at < $grace AND a.resource_type IN {RESOURCES}""",
)
