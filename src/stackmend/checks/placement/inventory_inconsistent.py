# SPDX-License-Identifier: Apache-2.0
"""More is allocated of a resource than its provider has, or its inventory contradicts itself.

## What is wrong
A provider has allocations of a resource class, but no inventory of it (code `no-inventory`); more of a device or of a
bandwidth is allocated than exists (`too-much`); or more is reserved than there is (`over-reserved`).

## Why it matters
nova-compute and Neutron's agents cannot update the provider any more: Placement refuses to remove an inventory in use.
Servers with such an allocation cannot be resized or moved, because Placement judges the whole allocation again.

## How it comes about
Devices were removed or configured anew while servers used them (VGPU types, PCI devices, dedicated CPUs, bandwidths of
the agents); `reserved` was raised above the total; inventories were deleted by SQL.

## How to see it by hand
`openstack resource provider inventory list <provider>`, beside `openstack resource provider usage show <provider>`.

## Repair and its risk
None: only somebody who knows the host can tell whether the inventory or the allocations are right. Not reported: VCPU,
memory and disk allocated beyond the allocation ratio, which is legal after the ratio was lowered; and an inventory that
differs from the compute node's row, which nova-compute corrects within a minute.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="inventory-inconsistent",
    catalogue="E10",
    severity=Severity.WARNING,
    message="resource provider {provider} ({name}), resource class {kind}: {code}",
    codes={
        "no-inventory": "{used} are allocated, but it has no inventory of it",
        "too-much": "{used} are allocated, but there are only {total}",
        "over-reserved": "{reserved} are reserved, but there are only {total}",
    },
    resource=("provider", "provider"),
    key=("provider", "kind"),
    needs=frozenset({"placement"}),
    reads={
        "placement_resource_providers": {"uuid": "provider"},
        "placement_resource_classes": {},
        "placement_inventories": {"resource_provider_id": "placement_resource_providers.id"},
        "placement_allocations": {"resource_provider_id": "placement_resource_providers.id"},
    },
    # what is left of a server on the provider of a host that is gone
    explained_by={"allocation-wrong-provider": {"provider": "wrong_provider"}},
    by_hand=(
        "look up who has allocated it: openstack resource provider show --allocations {provider}. If the inventory is"
        " wrong, correct the configuration that it comes from and restart that service, or set it: openstack resource"
        " provider inventory class set {provider} {kind} --total NUMBER. If it is right, move the servers beyond it"
    ),
    sql="""
        WITH used AS (
            SELECT resource_provider_id, resource_class_id, SUM(used) AS used
              FROM placement_allocations
             GROUP BY resource_provider_id, resource_class_id
        ), found AS (
            SELECT u.resource_provider_id, u.resource_class_id, u.used, i.total, i.reserved,
                   CASE WHEN i.total IS NULL THEN 'no-inventory' ELSE 'too-much' END AS code
              FROM used u
              JOIN placement_resource_classes k ON k.id = u.resource_class_id
              LEFT JOIN placement_inventories i ON i.resource_provider_id = u.resource_provider_id
                   AND i.resource_class_id = u.resource_class_id
             WHERE u.used > 0 AND (i.total IS NULL OR (k.name NOT IN ('VCPU', 'MEMORY_MB', 'DISK_GB')
                                                       AND u.used > i.total * COALESCE(i.allocation_ratio, 1)
                                                       AND i.reserved <= i.total))
            UNION ALL
            SELECT resource_provider_id, resource_class_id, 0, total, reserved, 'over-reserved' AS code
              FROM placement_inventories
             WHERE reserved > total
        )
        SELECT r.uuid AS provider, r.name, k.name AS kind, f.used, COALESCE(f.total, 0) AS total,
               COALESCE(f.reserved, 0) AS reserved, f.code
          FROM found f
          JOIN placement_resource_providers r ON r.id = f.resource_provider_id
          JOIN placement_resource_classes k ON k.id = f.resource_class_id""",
)
