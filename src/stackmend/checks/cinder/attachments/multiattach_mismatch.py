# SPDX-License-Identifier: Apache-2.0
"""A volume that two servers use is marked multi-attach, but its volume type is not.

## What is wrong
The volume has `multiattach`, and two or more servers have it attached, but its volume type lacks the property
`multiattach='<is> True'`.

## Why it matters
If the mark was set by SQL, the guests do not know that they share the disk: each caches and writes as if it were alone,
and the file system is destroyed. The back end may not support shared volumes either.

## How it comes about
Somebody ran `UPDATE volumes SET multiattach=1` to silence an error about a volume that two servers had; or the property
was removed from the volume type. Releases before Cinder removed the parameter `multiattach` of a new volume let its
owner mark it without such a type, which is harmless.

## How to see it by hand
`openstack volume show -c multiattach -c type -c attachments <volume>`, beside `openstack volume type show -c properties
<type>`.

## Repair and its risk
None: only its owner can tell whether the guests expect to share the volume (a cluster file system). If they do not,
stop all but one of the servers, and detach the volume from them. A volume that is not marked and that two servers have
is reported by `volume-status-attachment-mismatch`.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="multiattach-mismatch",
    catalogue="H11",
    severity=Severity.ERROR,
    message="volume {volume} is marked multi-attach and used by {servers} servers, but its volume type is not",
    resource=("volume", "volume"),
    key=("volume",),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume"},
        "cinder_shareable_types": {},
        "nova_instances": {"uuid": "cinder_volume_attachment.instance_uuid"},
    },
    ages={"grace": 900},
    by_hand=(
        "ask the owner of volume {volume} (project {project}) whether its servers expect to share it. If not, stop all"
        " but one of them, among them {server} and {other}, and detach it: openstack server remove volume SERVER"
        " {volume}"
    ),
    sql="""
        WITH suspects AS (
            SELECT v.id, v.project_id
              FROM cinder_volumes v
              LEFT JOIN cinder_shareable_types t ON t.volume_type_id = v.volume_type_id
             WHERE NOT v.deleted AND v.multiattach AND t.volume_type_id IS NULL
        )
        SELECT v.id AS volume, v.project_id AS project, COUNT(DISTINCT s.uuid) AS servers, MIN(s.uuid) AS server,
               MAX(s.uuid) AS other
          FROM suspects v
          JOIN cinder_volume_attachment a ON a.volume_id = v.id
          JOIN servers s ON s.uuid = a.instance_uuid
         WHERE NOT a.deleted AND a.attach_status = 'attached'
         GROUP BY v.id, v.project_id
        HAVING COUNT(DISTINCT s.uuid) > 1 AND MAX(COALESCE(a.updated_at, a.created_at)) < $grace""",
)
