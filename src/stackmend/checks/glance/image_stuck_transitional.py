# SPDX-License-Identifier: Apache-2.0
"""An image never became active.

## What is wrong
The image is in a status on the way to its first use, and has not changed for long. The `code` says which:

* `queued`: it was registered more than a week ago, and its content was never uploaded;
* `uploading`: it is in `saving`, `uploading` or `importing` for more than a day;
* `killed`: its upload failed in an old release, and nobody can use it;
* `scrub`: it was deleted more than a week ago with `delayed_delete`, and the scrubber has not removed its content.

An image of a server of which Nova is still making a snapshot is left alone.

## Why it matters
Nobody can use the image. Content that was staged or uploaded in part occupies space, and that of `scrub` all of it.

## How it comes about
The client or glance-api died during the upload; a snapshot failed after Nova had registered its image. For `scrub`,
glance-scrubber does not run.

## How to see it by hand
`openstack image list --status saving --long` (likewise `queued`, `uploading`, `importing`, `killed` and
`pending_delete`).

## Repair and its risk
Glance deletes such an image together with what it has of it: `openstack image delete <image>`, after its owner has
agreed. For `scrub`, run `glance-scrubber` on the node of Glance. Never set an image to `active`: its content is
incomplete.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.glance import RESERVED

CHECK = Check(
    name="image-stuck-transitional",
    catalogue="J2",
    severity=Severity.INFO,
    message="image {image} is {status} since {since}: {code}",
    codes={
        "queued": "its content was never uploaded",
        "uploading": "its upload was never completed",
        "killed": "its upload failed",
        "scrub": "glance-scrubber has not removed its content",
    },
    resource=("image", "image"),
    key=("image",),
    needs=frozenset({"glance", "cells"}),
    reads={
        "glance_images": {"id": "image"},
        "glance_image_properties": {"image_id": "image"},
        "nova_instances": {"uuid": "glance_image_properties.value"},
    },
    ages={"upload": 86400, "queued": 604800},
    lasting=frozenset({"upload", "queued"}),
    by_hand="ask its owner, then let Glance delete it: openstack image delete {image}. An image that is pending_delete"
    " is removed by glance-scrubber on a node of Glance",
    sql=f"""
        WITH stuck AS (
            SELECT id, name, owner, status, COALESCE(updated_at, created_at) AS since
              FROM glance_images
             WHERE (NOT deleted AND status = 'queued' AND COALESCE(updated_at, created_at) < $queued
                    AND COALESCE(name, '') <> '{RESERVED}')
                OR (NOT deleted AND status IN ('saving', 'uploading', 'importing', 'killed')
                    AND COALESCE(updated_at, created_at) < $upload)
                OR (status = 'pending_delete' AND COALESCE(updated_at, created_at) < $queued)
        ), snapshots AS (
            SELECT DISTINCT p.image_id
              FROM glance_image_properties p
              JOIN stuck i ON i.id = p.image_id
              JOIN nova_instances s ON s.uuid = p.value
             WHERE p.name = 'instance_uuid' AND NOT s.deleted AND s.task_state LIKE 'image_%'
        )
        SELECT i.id AS image, i.name AS name, i.owner AS project, i.status AS status, i.since AS since,
               CASE WHEN i.status = 'queued' THEN 'queued'
                    WHEN i.status = 'killed' THEN 'killed'
                    WHEN i.status = 'pending_delete' THEN 'scrub'
                    ELSE 'uploading' END AS code
          FROM stuck i
          LEFT JOIN snapshots s ON s.image_id = i.id
         WHERE s.image_id IS NULL""",
)
