# SPDX-License-Identifier: Apache-2.0
"""The pool of an image does not have it.

## What is wrong
Glance has an active image with a location in a pool (`rbd://<cluster>/<pool>/<image>/<snapshot>`), the pool was
listed whole (`glance = true`), the cluster is the one of the location, and the image is not there. The `code` says
what there is:

* `gone`: nothing;
* `trash`: an image of that name is in the trash of the pool;
* `snapshot`: the image, without the snapshot of the location, which is what Glance reads.

Left alone are locations without a cluster and pool (`rbd://<image>`), in other clusters and pools, or of objects that
are not called like an image; images that are being uploaded, imported or deleted; and those that `rbd` cannot open.
Images in files are compared by `image-content-missing`.

## Why it matters
No server can be built from the image, none of its shelved servers can be unshelved, and a rescue or rebuild fails.
Disks that were cloned from it still work if it is in the trash, and are broken if it is gone.

## How it comes about
Somebody cleaned up the pool by hand; an image was deleted and its row was set back; the pool was restored or renamed;
a snapshot was unprotected and removed to get rid of a clone.

## How to see it by hand
In Glance's database `SELECT value FROM image_locations WHERE image_id = '<image>' AND deleted = 0`; then `rbd info
<pool>/<image>@snap`, and `rbd trash ls --all <pool>`.

## Repair and its risk
By hand. What is in the trash comes back with one command; a snapshot is made anew if the hash of the image is still
the one that Glance recorded. For what is gone: another location or store of the image, a copy in another cloud, or
the disk of a server that was built from it. Do not delete or deactivate the image: its record says which content it
was.
"""

from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="image-backend-missing",
    catalogue="J1",
    severity=Severity.ERROR,
    message="image {image} ({label}): pool {place} has no {name}, {code}; it has {others} other location(s)",
    codes={
        "gone": "nor anything else of it",
        "trash": "but its trash has",
        "snapshot": "only the image without that snapshot",
    },
    resource=("image", "image"),
    key=("image", "name", "backend"),
    needs=frozenset({"glance"}),
    reads={
        "glance_images": {"id": "image"},
        "glance_image_locations": {"image_id": "image"},
        "storage_visits": {},
        "storage_clusters": {},
        "storage_objects": {"backend": "backend", "uuid": "uuid"},
    },
    ages={"settled": 3600},
    by_hand="{way}",
    sql="""
        WITH places AS (
            SELECT v.backend, v.place, v.asked, v.program, c.id AS cluster
              FROM storage_visits v
              JOIN storage_clusters c ON c.backend = v.backend
             WHERE v.glance),
        located AS (
            SELECT l.image_id, p.backend, p.place, p.asked, p.program, LOWER(split_part(l.rbd, '/', 5)) AS uuid,
                   split_part(l.rbd, '/', 5) || '@' || split_part(l.rbd, '/', 6) AS name
              FROM glance_image_locations l
              JOIN places p ON p.cluster = split_part(l.rbd, '/', 3) AND p.place = split_part(l.rbd, '/', 4)
             WHERE NOT l.deleted AND l.status = 'active' AND LENGTH(split_part(l.rbd, '/', 5)) = 36),
        lost AS (
            SELECT l.image_id, l.backend, l.place, l.asked, l.program, l.uuid, l.name, i.name AS there
              FROM located l
              LEFT JOIN storage_objects i
                ON i.backend = l.backend AND i.uuid = l.uuid AND i.kind = 'image' AND i.role = ''
              LEFT JOIN storage_objects s
                ON s.backend = l.backend AND s.uuid = l.uuid AND s.kind = 'image-snapshot' AND s.name = l.name
             WHERE i.uuid IS NULL OR i.size IS NOT NULL AND s.uuid IS NULL),
        trash AS (
            SELECT o.backend, o.uuid, MAX(o.ref) AS ref
              FROM storage_objects o
              JOIN lost l ON l.backend = o.backend AND l.uuid = o.uuid
             WHERE o.kind = 'image' AND o.role = 'trash'
             GROUP BY o.backend, o.uuid),
        lacking AS (SELECT DISTINCT l.image_id FROM lost l),
        more AS (
            SELECT a.image_id, COUNT(*) - 1 AS others
              FROM glance_image_locations a
              JOIN lacking l ON l.image_id = a.image_id
             WHERE NOT a.deleted AND a.status = 'active'
             GROUP BY a.image_id),
        said AS (
            SELECT l.image_id, l.backend, l.place, l.uuid, l.name, l.program, t.ref, m.others, i.name AS label,
                   CASE WHEN l.there IS NOT NULL THEN 'snapshot' WHEN t.ref IS NOT NULL THEN 'trash' ELSE 'gone' END
                   AS code, CASE WHEN l.asked = '' THEN '' ELSE 'on ' || l.asked || ': ' END AS there
              FROM lost l
              JOIN glance_images i ON i.id = l.image_id
              JOIN more m ON m.image_id = l.image_id
              LEFT JOIN trash t ON t.backend = l.backend AND t.uuid = l.uuid
             WHERE NOT i.deleted AND i.status = 'active' AND COALESCE(i.updated_at, i.created_at) < $settled)
        SELECT image_id AS image, label, backend, place, name, uuid, others, code,
               CASE WHEN code = 'trash'
                    THEN there || program || ' trash restore ' || place || '/' || ref || ' --image ' || uuid
                         || '; then see that its snapshot is there: ' || program || ' snap ls ' || place || '/' || uuid
                    WHEN code = 'snapshot'
                    THEN there || 'compare its hash with os_hash_value (' || program || ' export ' || place || '/'
                         || uuid || ' - | sha512sum); if it is whole: ' || program || ' snap create ' || place || '/'
                         || name || ' && ' || program || ' snap protect ' || place || '/' || name
                    ELSE 'keep the record of the image. Look for its content: in its other locations ('
                         || CAST(others AS VARCHAR) || '), in other pools and their trash (' || there || program
                         || ' trash ls --all ' || place || '), on the disk of a server built from it' END AS way
          FROM said""",
)
