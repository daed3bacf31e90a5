# SPDX-License-Identifier: Apache-2.0
"""The image that holds the disk of a shelved server is gone.

## What is wrong
`shelved_image_id` of a server that is shelved names an image that Glance does not have, or has marked deleted. The
`code` says what that means for its root disk:

* `on-host`: the server is `shelved` and still has its disk on its host;
* `offloaded`: it is `shelved_offloaded`: the image was the only copy;
* `failed`: it was unshelved, and Nova has set it to ERROR because the image was missing.

The image that a server was once built from is not meant: owners may delete that, and often do.

## Why it matters
An offloaded server cannot be unshelved: its root disk is lost unless the image can be restored. One that is still on
its host loses its disk as soon as it is offloaded (`[DEFAULT] shelved_offload_time`, or `openstack server shelve
--offload`).

## How it comes about
Somebody deleted the snapshot, which looks like any other image of the project (`<server name>-shelved`), or a script
that removes old images did.

## How to see it by hand
`openstack image show <image>`, and `SELECT id, status, deleted_at FROM images WHERE id = '<image>';` in Glance;
`openstack server show <server> -c status -c OS-EXT-STS:task_state`.

## Repair and its risk
None: what is lost only a backup of the image store brings back. Unshelve a server that is still on its host at once.
With delayed deletion (`delayed_delete` in Glance) the data is in the store until the scrubber runs: stop the scrubber
first. Do not delete the server before you are sure: its volumes and ports may be all that is left of it.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="server-image-missing",
    catalogue="B15",
    severity=Severity.ERROR,
    message="image {image} of the shelved server {server} {gone}: {code}",
    codes={
        "on-host": "its disk is on {host} until it is offloaded",
        "offloaded": "it was the only copy of its root disk",
        "failed": "the server was unshelved without it",
    },
    resource=("server", "server"),
    key=("server",),
    needs=frozenset({"glance"}),
    hinders=frozenset({"start"}),
    reads={
        "nova_instances": {"uuid": "server"},
        "nova_shelved_images": {"instance_uuid": "server"},
        "glance_images": {"id": "nova_shelved_images.image"},
    },
    ages={"idle": 600},
    by_hand="{way}",
    sql="""
        WITH shelved AS (
            SELECT s.uuid, s.cell, s.project_id, s.host, s.vm_state, n.image
              FROM servers s
              JOIN nova_shelved_images n ON n.instance_uuid = s.uuid AND n.cell = s.cell
             WHERE s.changed_at < $idle
               AND ((s.vm_state IN ('shelved', 'shelved_offloaded') AND s.task_state IS NULL)
                    OR (s.vm_state = 'error' AND s.host IS NULL))
        ), judged AS (
            SELECT v.uuid, v.cell, v.project_id, v.host, v.image,
                   CASE WHEN g.id IS NULL THEN 'does not exist'
                        WHEN g.status = 'pending_delete' THEN 'is about to be deleted' ELSE 'was deleted' END AS gone,
                   CASE WHEN v.vm_state = 'shelved' THEN 'on-host'
                        WHEN v.vm_state = 'shelved_offloaded' THEN 'offloaded' ELSE 'failed' END AS code
              FROM shelved v
              LEFT JOIN glance_images g ON g.id = v.image
             WHERE g.id IS NULL OR g.deleted OR g.status IN ('deleted', 'pending_delete', 'killed')
        )
        SELECT uuid AS server, cell, project_id AS project, host, image, gone, code,
               CASE WHEN code = 'on-host' THEN 'unshelve it before it is offloaded: openstack server unshelve ' || uuid
                    ELSE 'restore image ' || image || ' under the same id, from a backup or, while its data is still in'
                         || ' the store, in the database of Glance; then: openstack server unshelve ' || uuid END AS way
          FROM judged""",
)
