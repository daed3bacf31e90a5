# SPDX-License-Identifier: Apache-2.0
"""A volume that Nova made for a server, to be deleted with it, outlived the server.

## What is wrong
Nova created the volume from an image, a snapshot or nothing for one server, with `delete_on_termination`. The server
was deleted more than an hour ago; the volume is free and no other server has had it since.

## Why it matters
Its owner asked for it to be deleted with the server. It occupies space and counts against the quota, and holds the data
of a server that its owner believes to be gone.

## How it comes about
Cinder did not answer while the server was deleted, or Nova's host was down: Nova logs "Ignoring volume cleanup failure"
and goes on. Or the volume was detached by hand afterwards, to free it from the deleted server.

## How to see it by hand
`openstack volume show <volume>`; in the cell's database, `SELECT instance_uuid, source_type, delete_on_termination,
deleted_at FROM block_device_mapping WHERE volume_id = '<volume>'`.

## Repair and its risk
None by itself: the volume may be the last copy of the data, and somebody may have kept it on purpose. Ask its owner,
then `openstack volume delete <volume>`.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-outlived-server",
    catalogue="-",
    severity=Severity.INFO,
    message="volume {volume} ({size} GB) was to be deleted with server {server}, which was deleted at {deleted_at}",
    resource=("volume", "volume"),
    key=("volume",),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume"},
        "nova_block_device_mapping": {"volume_id": "volume"},
        "nova_instances": {"uuid": "nova_block_device_mapping.instance_uuid"},
    },
    ages={"grace": 3600},
    by_hand="ask the owner of volume {volume} (project {project}); if nobody needs its data: openstack volume delete"
    " {volume}",
    # a volume that the user made is kept even where Nova was told to delete it: that is not decided here
    sql="""
        WITH made AS (
            SELECT b.volume_id, b.instance_uuid
              FROM nova_block_device_mapping b
             WHERE b.deleted AND b.delete_on_termination AND b.destination_type = 'volume' AND b.volume_id IS NOT NULL
               AND b.source_type IN ('image', 'blank', 'snapshot')
        ), free AS (
            SELECT m.volume_id, m.instance_uuid, v.project_id, v.size, v.status
              FROM made m
              JOIN cinder_volumes v ON v.id = m.volume_id
             WHERE NOT v.deleted AND v.status IN ('available', 'error')
               AND COALESCE(v.migration_status, 'success') IN ('success', 'error')
               AND COALESCE(v.updated_at, v.created_at) < $grace
        ), used AS (
            SELECT f.volume_id
              FROM free f
              JOIN nova_block_device_mapping b ON b.volume_id = f.volume_id
             WHERE b.instance_uuid <> f.instance_uuid OR NOT b.deleted
            UNION
            SELECT f.volume_id
              FROM free f
              JOIN cinder_volume_attachment a ON a.volume_id = f.volume_id
             WHERE NOT a.deleted OR a.instance_uuid IS NULL OR a.instance_uuid <> f.instance_uuid
        )
        SELECT f.volume_id AS volume, f.instance_uuid AS server, MIN(f.project_id) AS project, MIN(f.size) AS size,
               MIN(f.status) AS status, MAX(i.deleted_at) AS deleted_at
          FROM free f
          JOIN nova_instances i ON i.uuid = f.instance_uuid
          LEFT JOIN used u ON u.volume_id = f.volume_id
          LEFT JOIN servers e ON e.uuid = f.instance_uuid
         WHERE u.volume_id IS NULL AND e.uuid IS NULL AND i.deleted AND i.deleted_at < $grace
         GROUP BY f.volume_id, f.instance_uuid""",
)
