# SPDX-License-Identifier: Apache-2.0
"""A pool of Glance has the content of an image that does not exist.

## What is wrong
A pool where Glance keeps images (`glance = true`) was listed whole, and has an object with the name of an image, a
UUID. Glance has no image with that id, no row at all (code `unknown`) or one that is deleted for longer than the age
`removed` (code `deleted`), and no location of any image leads to it, whether the snapshot of that location is there
or was removed.

Left alone are the objects of every image that exists, whatever its state is, also while it is uploaded, imported,
copied to another store, or waits to be scrubbed (`delayed_delete`); other names; images that `rbd` cannot open; the
trash, where Glance puts a deleted image that others are based on; and a pool that is `shared`, or most of whose
images Glance does not know. Files are compared by `image-store-orphan`.

## Why it matters
It takes space that nobody accounts for. Where the row was lost and not the image, it is all there is of it, and disks
of servers may be based on it.

## How it comes about
An upload was cut off; the pool could not be reached when the image was deleted; rows were deleted by SQL; a database
was restored from a backup.

## How to see it by hand
`rbd ls -l <pool>`, and for each name `openstack image show <name>`; in Glance's database `SELECT status, deleted FROM
images WHERE id = '<name>'`; `rbd children <pool>/<name>` lists what is based on it, in any pool.

## Repair and its risk
By hand: see what is based on it first, then move it to the trash with a date; what is purged from there is lost,
IRREVERSIBLE. Clones of an image in the trash go on working.
"""

from stackmend.checks.storage import ASIDE
from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="rbd-image-orphan",
    catalogue="J5",
    severity=Severity.INFO,
    message="pool {place} has {name} ({size} bytes): {code}",
    codes={"deleted": "Glance has that image as deleted since {since}", "unknown": "Glance knows no such image"},
    resource=("storage-object", "name"),
    key=("backend", "name"),
    needs=frozenset({"glance"}),
    reads={
        "storage_visits": {},
        "storage_clusters": {},
        "storage_objects": {"backend": "backend", "uuid": "uuid"},
        "glance_images": {"id": "uuid"},
        "glance_image_locations": {"content": "storage_objects.ref"},
    },
    ages={"removed": 86_400},
    by_hand="{way}",
    sql=f"""
        WITH contents AS (
            SELECT o.backend, o.name, o.uuid, o.ref, o.size, o.based, o.used, v.kind, v.place, v.asked, v.program
              FROM storage_objects o
              JOIN storage_visits v ON v.backend = o.backend AND v.glance AND v.ours
              JOIN storage_clusters c ON c.backend = v.backend
             WHERE o.kind = 'image' AND o.role = '' AND o.size IS NOT NULL),
        known AS (
            SELECT LOWER(i.id) AS uuid,
                   MAX(CASE WHEN i.deleted AND i.status <> 'pending_delete' THEN 0 ELSE 1 END) AS live,
                   MAX(COALESCE(i.deleted_at, i.updated_at, i.created_at)) AS deleted_at
              FROM glance_images i
              JOIN contents c ON c.uuid = LOWER(i.id)
             GROUP BY LOWER(i.id)),
        led AS (
            SELECT DISTINCT c.backend, c.uuid
              FROM contents c
              JOIN glance_image_locations l ON l.content = c.ref
             WHERE NOT l.deleted OR l.status = 'pending_delete'),
        orphans AS (
            SELECT c.backend, c.name, c.uuid, c.size, c.based, c.used, c.kind, c.place, c.asked, c.program,
                   k.deleted_at, CASE WHEN k.uuid IS NULL THEN 'unknown' ELSE 'deleted' END AS code
              FROM contents c
              LEFT JOIN known k ON k.uuid = c.uuid
              LEFT JOIN led l ON l.backend = c.backend AND l.uuid = c.uuid
             WHERE l.uuid IS NULL AND COALESCE(k.live, 0) = 0)
        SELECT backend, place, name, uuid, size, based, used, code,
               STRFTIME(deleted_at, '%Y-%m-%d %H:%M') AS since, {ASIDE} AS way
          FROM orphans
         WHERE deleted_at IS NULL OR deleted_at < $removed""",
)
