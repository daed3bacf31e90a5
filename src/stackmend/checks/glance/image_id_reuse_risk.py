# SPDX-License-Identifier: Apache-2.0
"""An image is not in Glance at all, and servers or volumes were made from it.

## What is wrong
Live servers (`instances.image_ref`) or volumes (`image_id` in `volume_glance_metadata`) name an image of which Glance
has no row, not even one marked deleted. All of one image are one finding. The `code` says who names it:

* `servers`: servers, and perhaps volumes;
* `volumes`: only volumes.

An image that is merely deleted is normal and not reported. The image of a shelved server is a matter of
`server-image-missing`.

## Why it matters
Whoever may create images can choose their ids, and gets one that Glance no longer remembers (OSSN-0075). A server that
is then rebuilt, rescued, or evacuated without shared storage is built from that stranger's content, if the image is
public or shared with its project.

## How it comes about
`glance-manage db purge_images_table` removed the row of the deleted image; before that command existed, `glance-manage
db purge` did. Or it was deleted by SQL.

## How to see it by hand
`SELECT id, status, deleted FROM images WHERE id = '<image>';` in Glance finds no row; `SELECT uuid, host FROM instances
WHERE image_ref = '<image>' AND deleted = 0;` in each cell; `SELECT volume_id FROM volume_glance_metadata WHERE `key` =
'image_id' AND value = '<image>' AND deleted = 0;` in Cinder.

## Repair and its risk
`reserve-image-id` registers a private image without content under that id. Nobody else gets the id while that image is
there. If you have a copy of the content, upload it into that image. Purge images later than the last server that was
made from them: `purge_images_table --age_in_days`.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="image-id-reuse-risk",
    catalogue="J7",
    severity=Severity.INFO,
    message="Glance has no record of image {image}, from which {servers} server(s) and {volumes} volume(s) were made:"
    " {code}",
    codes={
        "servers": "whoever registers an image under that id may give them other content",
        "volumes": "whoever registers an image under that id passes for the origin of their content",
    },
    resource=("image", "image"),
    key=("image",),
    needs=frozenset({"cells", "cinder", "glance"}),
    reads={
        "nova_instances": {"image_ref": "image"},
        "cinder_volume_images": {"image": "image"},
        "glance_images": {"id": "image"},
    },
    ages={"grace": 3600},
    sql="""
        WITH named AS (
            SELECT image_ref AS image, COUNT(*) AS servers, 0 AS volumes
              FROM nova_instances
             WHERE NOT deleted AND image_ref <> '' AND COALESCE(updated_at, created_at) < $grace
             GROUP BY image_ref
            UNION ALL
            SELECT image, 0 AS servers, COUNT(*) AS volumes FROM cinder_volume_images WHERE image <> '' GROUP BY image)
        SELECT n.image, CAST(SUM(n.servers) AS BIGINT) AS servers, CAST(SUM(n.volumes) AS BIGINT) AS volumes,
               CASE WHEN SUM(n.servers) > 0 THEN 'servers' ELSE 'volumes' END AS code
          FROM named n
          LEFT JOIN glance_images g ON g.id = n.image
         WHERE g.id IS NULL
         GROUP BY n.image""",
)
