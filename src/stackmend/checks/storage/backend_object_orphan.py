# SPDX-License-Identifier: Apache-2.0
"""A back end has a volume or snapshot that Cinder does not have.

## What is wrong
A back end of Cinder was listed whole, and has an object with the name of a volume or snapshot of Cinder's, without a
live row that is stored under that name. The `code` says what Cinder knows:

* `unknown`: nothing, no row at all;
* `deleted`: a row that is marked deleted, for longer than the age `deleted`;
* `migrated`: the volume lives, and is stored under another name (`_name_id`) since it was migrated;
* `snapshot`: the volume lives, and has no such snapshot.

Left alone are names that are not made by the default templates, what Cinder keeps for clones (`.deleted`,
`.clone_snap`), the trash, overlays of file shares, files and logical volumes younger than a day, and everything on a
back end that is `shared`, or most of whose volumes Cinder does not know, or where most of those that it does not know
are in use: that belongs to another cloud.

## Why it matters
It takes space that no quota counts. More often than not somebody cleans up by hand then, with a list that is wrong:
what looks like a leftover may be the only copy of a volume that a restored database has forgotten.

## How it comes about
Rows were deleted by SQL; Cinder's database was restored from a backup; cinder-volume was killed while it deleted,
migrated or created; a migration could not remove its source; another cloud shares the pool. Or somebody wanted it so:
`cinder unmanage` and `snapshot-unmanage` mark the row deleted like any other, and leave the object under its name, with
whoever uses it now.

## How to see it by hand
`rbd ls -l <pool>`, `lvs <group>` or `ls` in the folders of the shares; in Cinder's database `SELECT id, _name_id,
status, deleted FROM volumes WHERE '<id>' IN (id, _name_id)`.

## Repair and its risk
By hand, and nothing is deleted at once. First see who has it open and what is based on it, and ask whether somebody
took it out of Cinder on purpose (`unmanage` in the log of cinder-volume). If it is to be kept,
`openstack volume create --remote-source` (`cinder manage`) takes it into Cinder again. Otherwise put it aside, under
another name or in the trash with a date (without one, Cinder's own purge of the trash, `enable_deferred_deletion`,
takes it at once), and remove it when nobody has missed anything: that is IRREVERSIBLE. For `migrated`, compare both
objects before: if a guest was not told of the migration, it writes to this one.
"""

from stackmend.checks.storage import ASIDE
from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="backend-object-orphan",
    catalogue="H24",
    severity=Severity.WARNING,
    message="back end {backend} has {name} ({amount}): {code}",
    codes={
        "unknown": "Cinder knows nothing of it",
        "deleted": "Cinder has that volume as deleted since {since}",
        "migrated": "that volume is stored under another name since it was migrated",
        "snapshot": "Cinder has no such snapshot of volume {stored}",
    },
    resource=("storage-object", "name"),
    key=("backend", "name"),
    needs=frozenset({"cinder"}),
    reads={
        "storage_visits": {},
        "storage_objects": {"backend": "backend", "name": "name"},
        "cinder_stored_volumes": {"stored": "stored"},
        "cinder_volumes": {"id": "stored"},
        "cinder_snapshots": {"id": "uuid"},
    },
    ages={"deleted": 3600, "untouched": 86_400},
    by_hand="{way}",
    sql=f"""
        WITH suspects AS (
            SELECT o.backend, o.name, o.uuid, o.uuid AS stored, o.size, o.based, o.used, v.kind, v.place,
                   v.asked, v.program, 'volume' AS what
              FROM storage_objects o
              JOIN storage_visits v ON v.backend = o.backend AND v.cinder AND v.ours
              LEFT JOIN cinder_stored_volumes c ON LOWER(c.stored) = o.uuid AND NOT c.deleted
             WHERE o.kind = 'volume' AND o.role = '' AND c.id IS NULL
               AND (o.modified IS NULL OR o.modified < $untouched)
            UNION ALL
            SELECT o.backend, o.name, o.uuid, o.origin, o.size, o.based, o.used, v.kind, v.place,
                   v.asked, v.program, 'snapshot'
              FROM storage_objects o
              JOIN storage_visits v ON v.backend = o.backend AND v.cinder AND v.ours
              JOIN cinder_stored_volumes c ON LOWER(c.stored) = o.origin AND NOT c.deleted
              LEFT JOIN cinder_snapshots s ON LOWER(s.id) = o.uuid
             WHERE o.kind = 'snapshot' AND o.role = '' AND s.id IS NULL
               AND (o.modified IS NULL OR o.modified < $untouched)),
        gone AS (
            SELECT LOWER(c.stored) AS stored, MAX(COALESCE(c.deleted_at, c.updated_at, c.created_at)) AS deleted_at
              FROM cinder_stored_volumes c
              JOIN suspects s ON s.stored = LOWER(c.stored)
             WHERE c.deleted
             GROUP BY LOWER(c.stored)),
        owners AS (
            SELECT DISTINCT s.stored
              FROM suspects s
              JOIN cinder_volumes c ON LOWER(c.id) = s.stored
             WHERE NOT c.deleted AND s.what = 'volume'),
        said AS (
            SELECT s.backend, s.name, s.uuid, s.stored, s.size, s.based, s.used, s.kind, s.place, s.asked, s.program,
                   g.deleted_at, STRFTIME(g.deleted_at, '%Y-%m-%d %H:%M') AS since,
                   CASE WHEN s.what = 'snapshot' THEN 'snapshot' WHEN o.stored IS NOT NULL THEN 'migrated'
                        WHEN g.stored IS NOT NULL THEN 'deleted' ELSE 'unknown' END AS code
              FROM suspects s
              LEFT JOIN gone g ON g.stored = s.stored
              LEFT JOIN owners o ON o.stored = s.stored)
        SELECT backend, name, uuid, stored, size, based, used, since, code,
               COALESCE(CAST(size AS VARCHAR) || ' bytes', 'of unknown size') AS amount,
               CASE WHEN code = 'snapshot'
                    THEN 'leave it unless it is in the way: a snapshot cannot be put aside, and to remove it is'
                         || ' IRREVERSIBLE. See before that nothing is based on it'
                    ELSE {ASIDE} END AS way
          FROM said
         WHERE code = 'snapshot' OR deleted_at IS NULL OR deleted_at < $deleted""",
)
