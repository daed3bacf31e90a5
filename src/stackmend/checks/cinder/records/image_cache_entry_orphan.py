# SPDX-License-Identifier: Apache-2.0
"""Cinder's image cache has an entry without its volume or image.

## What is wrong
Cinder keeps a volume with the content of an image, and clones it when a volume is created from that image. The entry in
`image_volume_cache_entries` has lost one of them. The `code` says which:

* `volume-gone`: the volume is deleted, or there is none;
* `image-gone`: the image is deleted in Glance, so the volume will never be cloned again.

## Why it matters
Without its volume, each creation of a volume from that image first fails to clone it. Without its image, the volume
occupies space until the cache of the back end is full.

## How it comes about
The volume was deleted by SQL: Cinder removes the entry with it. Glance does not notify Cinder about deleted images.

## How to see it by hand
`SELECT id, host, image_id, volume_id FROM image_volume_cache_entries`; `openstack volume show <volume>` and
`openstack image show <image>`.

## Repair and its risk
`drop-image-cache-entry` deletes an entry whose volume is gone. A volume whose image is gone is best deleted through
Cinder, which removes the entry: `openstack volume delete <volume>`.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="image-cache-entry-orphan",
    catalogue="H29",
    severity=Severity.INFO,
    message="Cinder's image cache on {backend} has an entry of volume {volume} for image {image}: {code}",
    codes={"volume-gone": "the volume no longer exists", "image-gone": "the image no longer exists"},
    resource=("volume", "volume"),
    key=("entry",),
    needs=frozenset({"cinder", "glance"}),
    reads={
        "cinder_image_volume_cache_entries": {"id": "entry"},
        "cinder_volumes": {"id": "cinder_image_volume_cache_entries.volume_id"},
        "glance_images": {"id": "cinder_image_volume_cache_entries.image_id"},
    },
    ages={"grace": 3600},
    by_hand="nobody can create a volume from image {image} any more. Let Cinder delete its copy, which removes the"
    " entry too: openstack volume delete {volume}",
    sql="""
        SELECT e.id AS entry, e.volume_id AS volume, e.image_id AS image, e.host AS backend,
               CASE WHEN v.id IS NULL THEN 'volume-gone' ELSE 'image-gone' END AS code
          FROM cinder_image_volume_cache_entries e
          LEFT JOIN cinder_volumes v ON v.id = e.volume_id AND NOT v.deleted
          LEFT JOIN glance_images i ON i.id = e.image_id AND NOT i.deleted
         WHERE e.last_used < $grace
           AND (v.id IS NULL OR (i.id IS NULL AND v.status NOT IN ('deleting', 'error_deleting')))""",
)
