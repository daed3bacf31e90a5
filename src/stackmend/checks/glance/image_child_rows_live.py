# SPDX-License-Identifier: Apache-2.0
"""An image is deleted, but its child rows are not.

## What is wrong
Glance's row of the image is marked deleted, but something that Glance does in the same transaction is missing. The
`code` says what:

* `live-location`: a location is live, so its content may still be in the store;
* `live-children`: properties, members or tags are live;
* `no-deletion-time`: all are marked, but the deletion time of the image is missing;
* `wrong-status`: all are marked, but the status of the image is not `deleted`.

## Why it matters
`glance-manage db purge` stops at the first such image, with a foreign key that is violated. An image without a deletion
time is never purged. Content of which only a live location knows is never deleted.

## How it comes about
Somebody ran `UPDATE images SET deleted=1`.

## How to see it by hand
`SELECT i.id FROM images i JOIN image_locations c ON c.image_id = i.id WHERE i.deleted = 1 AND c.deleted = 0`, and so on
for `image_properties`, `image_members` and `image_tags`.

## Repair and its risk
`finish-image-deletion` marks the rows deleted with the time of their image. Content that is still in the store stays
there: the plan says how to find it. An image that waits for the scrubber (`pending_delete`) is left alone.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="image-child-rows-live",
    catalogue="J6",
    severity=Severity.WARNING,
    message="image {image} is deleted, but {code}",
    codes={
        "live-location": "{children} row(s) of it are not, among them where its content is",
        "live-children": "{children} row(s) of it are not",
        "no-deletion-time": "its deletion time is missing",
        "wrong-status": "its status is {status}",
    },
    resource=("image", "image"),
    key=("image",),
    needs=frozenset({"glance"}),
    reads={"glance_images": {"id": "image"}, "glance_leftover_children": {"image_id": "image"}},
    settle=False,
    sql="""
        WITH left_alive AS (
            SELECT image_id, COUNT(*) AS children, COUNT(CASE WHEN child = 'image_locations' THEN 1 END) AS locations
              FROM glance_leftover_children
             GROUP BY image_id
        )
        SELECT i.id AS image, i.name AS name, i.owner AS project, i.status AS status,
               COALESCE(c.children, 0) AS children,
               CASE WHEN c.locations > 0 THEN 'live-location'
                    WHEN c.children > 0 THEN 'live-children'
                    WHEN i.deleted_at IS NULL THEN 'no-deletion-time'
                    ELSE 'wrong-status' END AS code
          FROM glance_images i
          LEFT JOIN left_alive c ON c.image_id = i.id
         WHERE i.deleted AND i.status <> 'pending_delete'
           AND (c.image_id IS NOT NULL OR i.deleted_at IS NULL OR i.status <> 'deleted')""",
)
