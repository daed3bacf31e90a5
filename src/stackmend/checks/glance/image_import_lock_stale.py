# SPDX-License-Identifier: Apache-2.0
"""Glance has an import of an image marked as in progress that is over.

## What is wrong
While Glance imports an image, properties of the image name the task (`os_glance_import_task`), the stores to come
(`os_glance_importing_to_stores`) and the node with the data (`os_glance_stage_host`). The import is over for more than
two hours, and they are still there. The `code` says how that is known:

* `task-over`: the task has ended, or has not changed for two hours;
* `task-gone`: the task no longer exists;
* `no-task`: no task is named, but the other marks are there.

## Why it matters
Until its lock expires, a new import is refused with 409. The image lists stores that it is not in. Staged data on the
node is never removed.

## How it comes about
glance-api was restarted or died during the import.

## How to see it by hand
`openstack image show <image>`; in Glance's database, `SELECT name, value FROM image_properties WHERE deleted = 0 AND
image_id = '<image>' AND name LIKE 'os_glance_%'`. Staged data is in `os_glance_staging_store` on the named node.

## Repair and its risk
`drop-import-marks` marks these properties deleted, as Glance does at the end of an import. The image and its content
are not touched. A new import sets them again.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="image-import-lock-stale",
    catalogue="J4",
    severity=Severity.INFO,
    message="image {image} ({status}) is marked as being imported since {since}: {code}",
    codes={
        "task-over": "its task {task} is {task_status} since then",
        "task-gone": "its task {task} no longer exists",
        "no-task": "no task is named",
    },
    resource=("image", "image"),
    key=("image",),
    needs=frozenset({"glance"}),
    reads={
        "glance_images": {"id": "image"},
        "glance_image_properties": {"image_id": "image"},
        "glance_tasks": {"id": "glance_image_properties.value"},
    },
    ages={"grace": 7200},
    lasting=frozenset({"grace"}),
    settle=False,
    # a list of stores that is empty is what a finished import leaves
    sql="""
        WITH marks AS (
            SELECT image_id, MAX(CASE WHEN name = 'os_glance_import_task' THEN value END) AS task,
                   MAX(COALESCE(updated_at, created_at)) AS since
              FROM glance_image_properties
             WHERE name = 'os_glance_import_task'
                OR (name IN ('os_glance_importing_to_stores', 'os_glance_stage_host') AND COALESCE(value, '') <> '')
             GROUP BY image_id
        )
        SELECT i.id AS image, i.name AS name, i.owner AS project, i.status AS status, m.task AS task,
               t.status AS task_status, COALESCE(t.updated_at, m.since) AS since,
               CASE WHEN m.task IS NULL THEN 'no-task' WHEN t.id IS NULL THEN 'task-gone' ELSE 'task-over' END AS code
          FROM marks m
          JOIN glance_images i ON i.id = m.image_id
          LEFT JOIN glance_tasks t ON t.id = m.task
         WHERE NOT i.deleted AND i.status IN ('active', 'deactivated', 'queued') AND m.since < $grace
           AND COALESCE(i.updated_at, i.created_at) < $grace
           AND (t.id IS NULL OR COALESCE(t.updated_at, t.created_at) < $grace)""",
)
