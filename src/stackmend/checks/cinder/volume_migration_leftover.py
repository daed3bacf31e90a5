# SPDX-License-Identifier: Apache-2.0
"""A migration of a volume between back ends was cut off.

## What is wrong
Cinder records a migration that nobody carries on. The `code` says what is left:

* `stalled`: the volume is in migration (`starting`, `migrating` or `completing`), and neither it nor its destination
  has changed for a day;
* `destination`: a destination volume (`target:<volume>`) has not changed for six hours, and the volume that it was made
  for is deleted, or is not being migrated any more.

## Why it matters
A volume in migration can be neither attached, detached, extended nor deleted. A destination volume is hidden from most
lists and occupies the same space once more.

## How it comes about
cinder-volume was restarted during the copy, or Nova failed to swap the volumes of a server (bug 1823156).

## How to see it by hand
`openstack volume show <volume>` as an administrator; in Cinder's database, `SELECT id, status, migration_status,
_name_id, updated_at FROM volumes WHERE deleted = 0 AND migration_status IS NOT NULL`.

## Repair and its risk
Which of the two copies is right depends on how far the migration came: `_name_id` of the source, and for an attached
volume the definition of the guest (`virsh dumpxml`), show which one is used. Only then clear the migration (`cinder
reset-state --reset-migration-status <volume>`) and delete the other copy (`openstack volume delete --force
<destination>`). Never delete a destination that a guest already writes to.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-migration-leftover",
    catalogue="H15",
    severity=Severity.WARNING,
    message="volume {volume} ({size} GB) is {migration} since {since}: {code}",
    codes={
        "stalled": "nobody carries on its migration",
        "destination": "volume {source}, for which it was made, is not being migrated",
    },
    resource=("volume", "volume"),
    key=("volume", "source"),
    needs=frozenset({"cinder"}),
    reads={
        "cinder_migration_sources": {"id": "source"},
        "cinder_migration_destinations": {"source_id": "source"},
    },
    ages={"stalled": 86400, "alone": 21600},
    lasting=frozenset({"stalled", "alone"}),
    by_hand="find out which copy is used (the _name_id of volume {source}, and virsh dumpxml of its guest). Then clear"
    " the migration with 'cinder reset-state --reset-migration-status {source}', and delete the copy that nothing uses"
    " with 'openstack volume delete --force'",
    settle=False,
    sql="""
        WITH copies AS (
            SELECT source_id, MAX(COALESCE(updated_at, created_at)) AS changed_at
              FROM cinder_migration_destinations
             GROUP BY source_id
        )
        SELECT s.id AS volume, s.id AS source, s.project_id AS project, s.size AS size,
               s.migration_status AS migration, s.status AS status, COALESCE(s.updated_at, s.created_at) AS since,
               'stalled' AS code
          FROM cinder_migration_sources s
          LEFT JOIN copies c ON c.source_id = s.id
         WHERE COALESCE(s.updated_at, s.created_at) < $stalled
           AND (c.changed_at IS NULL OR c.changed_at < $stalled)
        UNION ALL
        SELECT d.id, d.source_id, d.project_id, d.size, d.migration_status, d.status,
               COALESCE(d.updated_at, d.created_at), 'destination' AS code
          FROM cinder_migration_destinations d
          LEFT JOIN cinder_migration_sources s ON s.id = d.source_id
         WHERE s.id IS NULL AND COALESCE(d.updated_at, d.created_at) < $alone""",
)
