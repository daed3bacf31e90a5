# SPDX-License-Identifier: Apache-2.0
"""Cinder has a volume attached to a server, but Nova does not.

## What is wrong
Cinder has an attachment for a live server, but Nova has no block device mapping for that volume.

## Why it matters
The volume stays `in-use`, and the server does not list it. Nova 28 and later deletes such attachments at the server's
next reboot, even if the guest still has the disk: the volume can then be attached to a second server while the first
one writes to it.

## How it comes about
A mapping was deleted by hand, or a detach failed after Nova had dropped its mapping and before it had notified Cinder.

## How to see it by hand
`openstack --os-volume-api-version 3.27 volume attachment list --volume-id <volume>` names the server, but `openstack
server volume list <server>` does not show the volume. `virsh dumpxml` on the host shows whether the guest has the disk:
its serial number is the volume's id.

## Repair and its risk
Which side is right depends on the guest, and no database shows which disks the guest has. The repair that removes
nothing therefore comes first: `restore-bdm` restores the mapping that Nova marked deleted for this attachment; a guest
without the disk gets it again at its next hard reboot. If the guest is proven to lack the disk, remove the attachment
instead: `DELETE /v3/attachments/<id>`, which Cinder allows because Nova has no mapping for it, or `detach-volume`.
Never remove the attachment while the guest has the disk.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="cinder-attached-nova-not",
    catalogue="H5",
    severity=Severity.ERROR,
    message="Cinder has volume {volume} attached to server {server}, but Nova has no block device mapping for it",
    resource=("volume", "volume"),
    key=("volume", "server"),
    sight=disk("host"),
    needs=frozenset({"cells", "cinder"}),
    hinders=frozenset({"move"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume", "instance_uuid": "server"},
        "nova_block_device_mapping": {"volume_id": "volume", "instance_uuid": "server"},
        **idle("server"),
    },
    ages={"grace": 900, "idle": 600},
    # reserved and attaching have their own causes (H2, H4); so have detaching and attaching volumes (H1, H2)
    sql="""
        WITH unknown AS (
            SELECT a.id, a.volume_id, a.instance_uuid, a.attached_host, a.mountpoint
              FROM cinder_volume_attachment a
              LEFT JOIN nova_block_device_mapping b
                ON b.volume_id = a.volume_id AND b.instance_uuid = a.instance_uuid AND NOT b.deleted
             WHERE b.volume_id IS NULL AND a.instance_uuid IS NOT NULL AND NOT a.deleted
               AND a.attach_status IN ('attached', 'detaching', 'error_detaching')
               AND COALESCE(a.updated_at, a.created_at) < $grace)
        SELECT a.volume_id AS volume, a.instance_uuid AS server, MIN(a.id) AS attachment, COUNT(*) AS attachments,
               MIN(v.project_id) AS project, MIN(a.attached_host) AS host, MIN(a.mountpoint) AS device,
               MIN(v.status) AS status
          FROM unknown a
          JOIN cinder_volumes v ON v.id = a.volume_id
          JOIN idle_servers s ON s.uuid = a.instance_uuid
         WHERE NOT v.deleted AND COALESCE(v.status, '') NOT IN ('attaching', 'detaching')
           AND COALESCE(v.migration_status, 'success') IN ('success', 'error')
           AND s.changed_at < $idle
         GROUP BY a.volume_id, a.instance_uuid""",
)
