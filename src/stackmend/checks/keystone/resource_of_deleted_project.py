# SPDX-License-Identifier: Apache-2.0
"""A project that Keystone does not have still owns servers, volumes or images.

## What is wrong
Live servers, volumes or images name a project that is not in Keystone. All of one project are one finding, with the
number of its ports. The `code` says what it owns:

* `servers`: servers, and perhaps more;
* `storage`: volumes or images.

A project that owns nothing but ports is not reported, and neither are ids that are not of Keystone's form. Resources
younger than an hour are not counted.

## Why it matters
Nobody can log in to that project: its servers run on, its volumes occupy space, its addresses are not given to others,
and nobody is billed.

## How it comes about
The project was deleted without `openstack project cleanup` before. Keystone notifies no other service.

## How to see it by hand
`openstack project show <project>` finds nothing; `openstack server list --all-projects --project <project>`,
`openstack volume list --all-projects --project <project>`, `openstack image list --project <project>`, `openstack port
list --project <project>`.

## Repair and its risk
Only somebody who knows the owner can decide: give the resources to another project, or delete them, in this order:
servers, floating IPs, router interfaces, routers, ports, networks, security groups, snapshots, volumes, backups,
images, quotas. Nothing is deleted automatically. Make sure that this is the Keystone of the cloud, and not one of
several regions or a copy.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="resource-of-deleted-project",
    catalogue="K1",
    severity=Severity.WARNING,
    message="project {project} does not exist, but owns {servers} server(s), {volumes} volume(s), {images} image(s) and"
    " {ports} port(s): {code}",
    codes={
        "servers": "its servers may still run",
        "storage": "its volumes or images still occupy space",
    },
    resource=("project", "project"),
    key=("project",),
    needs=frozenset({"cells", "cinder", "glance", "neutron", "keystone"}),
    reads={
        "nova_instances": {"project_id": "project"},
        "cinder_volumes": {"project_id": "project"},
        "glance_images": {"owner": "project"},
        "neutron_ports": {"project_id": "project"},
        "keystone_project": {},
    },
    ages={"grace": 3600},
    by_hand="find the owner of project {project}; then delete what is left of it in this order: servers (openstack"
    " server list --all-projects --project {project}), ports, volumes, images, or give it to another project",
    # ids of projects were written with dashes by old releases; what belongs to services has no project
    sql="""
        WITH owned AS (
            SELECT project_id, 1 AS servers, 0 AS volumes, 0 AS images, 0 AS ports
              FROM nova_instances
             WHERE NOT deleted AND project_id IS NOT NULL AND COALESCE(updated_at, created_at) < $grace
            UNION ALL
            SELECT project_id, 0, 1, 0, 0
              FROM cinder_volumes
             WHERE NOT deleted AND project_id IS NOT NULL AND COALESCE(updated_at, created_at) < $grace
            UNION ALL
            SELECT owner, 0, 0, 1, 0
              FROM glance_images
             WHERE NOT deleted AND owner IS NOT NULL AND COALESCE(updated_at, created_at) < $grace
            UNION ALL
            SELECT project_id, 0, 0, 0, 1 FROM neutron_ports WHERE project_id IS NOT NULL
        ), summed AS (
            SELECT project_id, REPLACE(project_id, '-', '') AS dashless, SUM(servers) AS servers,
                   SUM(volumes) AS volumes, SUM(images) AS images, SUM(ports) AS ports
              FROM owned
             WHERE LENGTH(REPLACE(project_id, '-', '')) = 32
             GROUP BY project_id
            HAVING SUM(servers) + SUM(volumes) + SUM(images) > 0
        )
        SELECT s.project_id AS project, CAST(s.servers AS BIGINT) AS servers,
               CAST(s.volumes AS BIGINT) AS volumes, CAST(s.images AS BIGINT) AS images,
               CAST(s.ports AS BIGINT) AS ports,
               CASE WHEN s.servers > 0 THEN 'servers' ELSE 'storage' END AS code
          FROM summed s
          LEFT JOIN keystone_project p ON REPLACE(p.id, '-', '') = s.dashless
         WHERE p.id IS NULL""",
)
