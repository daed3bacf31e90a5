# SPDX-License-Identifier: Apache-2.0
"""An image is active, but Glance has no location of its content.

## What is wrong
The image is `active` or `deactivated`, has a size, and no live row in `image_locations` says where its content is. The
`code` says what is left:

* `location-deleted`: a location is marked deleted;
* `never-located`: there is none at all.

## Why it matters
Everybody who uses the image gets nothing: the download is empty or not found, and servers fail to build.

## How it comes about
The last location was removed through the locations API, a deletion failed halfway, or rows were deleted by SQL.

## How to see it by hand
`openstack image show <image>` and `openstack image save --file /dev/null <image>`; in Glance's database, `SELECT id,
status, deleted FROM image_locations WHERE image_id = '<image>'`.

## Repair and its risk
If the store still has the content (on Ceph `rbd info <pool>/<image>`, in a filesystem store the file `<image>`),
`restore-image-location` marks the location that was deleted last as live again. Otherwise the image is lost: upload it
again as a new one. Images of volume-backed servers have no content and are left alone.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="image-active-without-location",
    catalogue="J3",
    severity=Severity.ERROR,
    message="image {image} ({size} bytes) is {status}, but Glance does not know where its content is: {code}",
    codes={
        "location-deleted": "{marked} location(s) of it are marked deleted",
        "never-located": "it has no record of a location",
    },
    resource=("image", "image"),
    key=("image",),
    needs=frozenset({"glance"}),
    reads={
        "glance_images": {"id": "image"},
        "glance_image_locations": {"image_id": "image"},
        "glance_image_properties": {"image_id": "image"},
    },
    ages={"grace": 900},
    by_hand="look in the stores for the content of image {image}. If it is there, add its location (openstack image set"
    " does not; PATCH /v2/images/{image} with /locations/-, if show_multiple_locations is set). If not, upload it again"
    " as a new image, and delete this one",
    settle=False,
    sql="""
        WITH located AS (
            SELECT image_id, COUNT(CASE WHEN NOT deleted AND status = 'active' THEN 1 END) AS alive,
                   COUNT(CASE WHEN deleted THEN 1 END) AS marked
              FROM glance_image_locations
             GROUP BY image_id
        ), of_volumes AS (
            SELECT DISTINCT image_id FROM glance_image_properties WHERE name = 'block_device_mapping'
        )
        SELECT i.id AS image, i.name AS name, i.owner AS project, i.status AS status, i.size AS size,
               COALESCE(l.marked, 0) AS marked,
               CASE WHEN l.marked > 0 THEN 'location-deleted' ELSE 'never-located' END AS code
          FROM glance_images i
          LEFT JOIN located l ON l.image_id = i.id
          LEFT JOIN of_volumes v ON v.image_id = i.id
         WHERE NOT i.deleted AND i.status IN ('active', 'deactivated') AND i.size > 0
           AND COALESCE(i.updated_at, i.created_at) < $grace AND COALESCE(l.alive, 0) = 0 AND v.image_id IS NULL""",
)
