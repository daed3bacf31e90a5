# SPDX-License-Identifier: Apache-2.0
"""Cinder has more than one attachment of a volume to one server.

## What is wrong
Nova has one block device mapping of the volume for the server, which names one attachment; Cinder has a second live
attachment of the same pair, although no migration is in progress. The `code` says which one Nova names:

* `extra`: the one on the server's host, so the other one is left over;
* `wrong-one`: one on another host, and the one on the server's host is unknown to Nova.

## Why it matters
The volume cannot be freed by a detach: Cinder keeps it `in-use` for the other attachment. The back end goes on giving
another host access to it. With `wrong-one`, the clean-up of that other host cuts the guest off from its disk.

## How it comes about
A live migration failed and its rollback did not delete the attachment on the destination (bug 1889108), or
nova-compute died between the two steps of a migration or of a volume swap.

## How to see it by hand
`openstack --os-volume-api-version 3.27 volume attachment list --volume-id <volume>` shows two attachments of the
server; `openstack server volume list <server>` shows the id that Nova names.

## Repair and its risk
`delete-extra-attachment` deletes the attachments that Nova does not name; Cinder allows that, and closes the export to
the other host. Attachments are never chosen by their age. For `wrong-one`, the mapping has to be refreshed on the
server's host while the server is stopped: `nova-manage volume_attachment refresh`.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="attachment-id-mismatch",
    catalogue="H8",
    severity=Severity.ERROR,
    message="Cinder has {attachments} attachments of volume {volume} to server {server}: {code}",
    codes={
        "extra": "Nova names {named} on {host}, and another one is on {other_host}",
        "wrong-one": "Nova names {named} on {named_host}, and not the one on {host}, where the server is",
    },
    resource=("volume", "volume"),
    key=("volume", "server"),
    needs=frozenset({"cells", "cinder"}),
    hinders=frozenset({"move"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume", "instance_uuid": "server"},
        "nova_block_device_mapping": {"volume_id": "volume", "instance_uuid": "server"},
        **idle("server"),
    },
    ages={"grace": 900, "idle": 600},
    by_hand="stop server {server}; on {host} run 'nova-manage volume_attachment get_connector --json >connector.json',"
    " then 'nova-manage volume_attachment refresh {server} {volume} connector.json', and start the server",
    # a volume being attached or detached has checks of its own, as has a mapping that names no live attachment
    sql="""
        WITH pairs AS (
            SELECT volume_id, instance_uuid, COUNT(*) AS attachments
              FROM cinder_volume_attachment
             WHERE NOT deleted AND instance_uuid IS NOT NULL
             GROUP BY volume_id, instance_uuid
            HAVING COUNT(*) > 1 AND MAX(COALESCE(updated_at, created_at)) < $grace
        ), named AS (
            SELECT p.volume_id, p.instance_uuid, p.attachments, b.cell, MIN(b.attachment_id) AS attachment_id
              FROM pairs p
              JOIN nova_block_device_mapping b ON b.volume_id = p.volume_id AND b.instance_uuid = p.instance_uuid
             WHERE NOT b.deleted AND b.destination_type = 'volume' AND COALESCE(b.updated_at, b.created_at) < $grace
             GROUP BY p.volume_id, p.instance_uuid, p.attachments, b.cell
            HAVING COUNT(*) = 1
        ), judged AS (
            SELECT n.volume_id AS volume, n.instance_uuid AS server, n.attachments, n.attachment_id AS named,
                   COALESCE(s.host, 'no host') AS host, a.attached_host AS named_host, v.project_id AS project,
                   MIN(COALESCE(o.attached_host, 'no host')) AS other_host,
                   COUNT(CASE WHEN split_part(o.attached_host, '.', 1) = split_part(s.host, '.', 1) THEN 1 END) AS here,
                   COALESCE(split_part(a.attached_host, '.', 1) = split_part(s.host, '.', 1),
                            a.attached_host IS NULL AND s.host IS NULL) AS fits
              FROM named n
              JOIN cinder_volume_attachment a ON a.id = n.attachment_id AND NOT a.deleted
                                             AND a.volume_id = n.volume_id AND a.instance_uuid = n.instance_uuid
              JOIN cinder_volume_attachment o ON o.volume_id = n.volume_id AND o.instance_uuid = n.instance_uuid
                                             AND NOT o.deleted AND o.id <> a.id
              JOIN cinder_volumes v ON v.id = n.volume_id
              JOIN idle_servers s ON s.uuid = n.instance_uuid AND s.cell = n.cell
             WHERE NOT v.deleted AND v.status IN ('in-use', 'reserved', 'available')
               AND COALESCE(v.migration_status, 'success') IN ('success', 'error')
               AND s.changed_at < $idle AND s.vm_state <> 'resized'
             GROUP BY n.volume_id, n.instance_uuid, n.attachments, n.attachment_id, s.host, a.attached_host,
                      v.project_id
        )
        SELECT volume, server, attachments, named, host, named_host, other_host, project,
               CASE WHEN fits THEN 'extra' ELSE 'wrong-one' END AS code
          FROM judged
         WHERE fits OR here > 0""",
)
