# SPDX-License-Identifier: Apache-2.0
"""A volume is reserved for a server that does not use it.

## What is wrong
Cinder has had an attachment in `reserved` for more than an hour, without a connector, for a live server on which no
operation is in progress and whose block device mappings do not contain the volume. Nobody will complete it.

## Why it matters
The volume can be neither attached to another server nor deleted.

## How it comes about
nova-api or nova-compute died between the reservation in Cinder and the mapping in Nova, or a failed attach did not
release the reservation. A shelved and offloaded server keeps its volumes reserved on purpose; Nova maps those.

## How to see it by hand
`openstack --os-volume-api-version 3.27 volume attachment list --volume-id <volume>` shows a reserved attachment;
`openstack server volume list <server>` does not show the volume.

## Repair and its risk
`detach-volume` deletes the attachment, and the volume becomes available again. A reservation has no connector: no host
was ever given access for it. Consent is required, because that repair also removes attachments that a guest may use.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="volume-stuck-reserved",
    catalogue="H4",
    severity=Severity.WARNING,
    message="volume {volume} has been reserved for server {server} since {since}: {code}",
    codes={"reserved-unmapped": "Nova has no block device mapping for it"},
    resource=("volume", "volume"),
    key=("volume", "server"),
    sight=disk(),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume", "instance_uuid": "server"},
        "nova_block_device_mapping": {"volume_id": "volume", "instance_uuid": "server"},
        **idle("server"),
    },
    ages={"grace": 3600, "idle": 600},
    lasting=frozenset({"grace"}),
    sql="""
        WITH reserved AS (
            SELECT a.id, a.volume_id, a.instance_uuid, COALESCE(a.updated_at, a.created_at) AS since
              FROM cinder_volume_attachment a
              LEFT JOIN nova_block_device_mapping b
                ON b.volume_id = a.volume_id AND b.instance_uuid = a.instance_uuid AND NOT b.deleted
             WHERE b.volume_id IS NULL AND a.instance_uuid IS NOT NULL AND NOT a.deleted
               AND a.attach_status = 'reserved' AND NOT COALESCE(a.has_connector, FALSE)
               AND COALESCE(a.updated_at, a.created_at) < $grace)
        SELECT r.volume_id AS volume, r.instance_uuid AS server, MIN(r.id) AS attachment, COUNT(*) AS attachments,
               MIN(v.project_id) AS project, MIN(v.status) AS status, MIN(r.since) AS since,
               'reserved-unmapped' AS code
          FROM reserved r
          JOIN cinder_volumes v ON v.id = r.volume_id
          JOIN idle_servers s ON s.uuid = r.instance_uuid
         WHERE NOT v.deleted AND COALESCE(v.migration_status, 'success') IN ('success', 'error')
           AND s.vm_state <> 'shelved_offloaded' AND s.changed_at < $idle
         GROUP BY r.volume_id, r.instance_uuid""",
)
