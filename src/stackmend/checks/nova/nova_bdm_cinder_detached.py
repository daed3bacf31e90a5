# SPDX-License-Identifier: Apache-2.0
"""Nova has a volume attached to a server, but Cinder does not.

## What is wrong
Nova has a live block device mapping of a volume, but Cinder has no live attachment for it. The `code` says what Cinder
has instead:

* `attachment-missing`: the volume, but attached to no server;
* `other-attachment`: the volume, attached to this same server by an attachment other than the one in Nova;
* `other-server`: the volume, attached to another server or to a host;
* `volume-missing`: no such volume any more;
* `no-attachment-id`: the mapping never had an attachment (a server from before Queens), and there is none.

## Why it matters
The next reboot or migration of the server fails, or (Nova 28 and later) silently removes the disk from it. While the
guest still has the disk, Cinder would attach the volume to a second server: two writers, one file system.

## How it comes about
`cinder reset-state --attach-status detached`, an attachment deleted in Cinder while Nova was down, or a detach that
failed half way.

## How to see it by hand
`openstack server volume list <server>` shows the volume and its attachment; `openstack --os-volume-api-version 3.27
volume attachment show <attachment>` answers 404. `virsh dumpxml` on the host shows whether the guest has the disk.

## Repair and its risk
If the guest lacks the disk, `drop-stale-bdm` marks the mapping deleted, as the next reboot under Nova 28 and later
would, and the volume follows: if nothing has it attached any more, it becomes available. If the guest has the disk, the
attachment must be restored instead: with the server stopped, `nova-manage volume_attachment refresh` creates a new one,
provided that the volume exists and no other server has it. The root disk of a server is never dropped. No database
shows which disks the guest has: check first.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="nova-bdm-cinder-detached",
    catalogue="H7",
    severity=Severity.ERROR,
    message="server {server} has a block device mapping of volume {volume}, {fault}",
    resource=("server", "server"),
    key=("server", "volume", "bdm"),
    sight=disk("host"),
    needs=frozenset({"cells", "cinder"}),
    hinders=frozenset({"move", "start", "rebuild"}),
    explained_by={"bdm-anomaly": {"server": "server", "volume": "volume"}},
    reads={
        "nova_block_device_mapping": {"instance_uuid": "server", "volume_id": "volume"},
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume"},
        **idle("server"),
    },
    ages={"grace": 900, "idle": 600},
    # attaching and detaching volumes have checks of their own, as have those marked deleted but still attached;
    # an abandoned build leaves its mappings behind on purpose: such a server never ran and never will
    sql="""
        WITH loose AS (
            SELECT b.instance_uuid, b.cell, b.id, b.volume_id, b.attachment_id, b.boot_index, b.device_name,
                   v.id AS volume
              FROM nova_block_device_mapping b
              LEFT JOIN cinder_volumes v ON v.id = b.volume_id AND NOT v.deleted
              LEFT JOIN cinder_volume_attachment a
                ON a.id = b.attachment_id AND a.volume_id = b.volume_id AND a.instance_uuid = b.instance_uuid
               AND NOT a.deleted
             WHERE NOT b.deleted AND b.destination_type = 'volume' AND b.volume_id IS NOT NULL
               AND a.id IS NULL
               AND COALESCE(v.status, '') NOT IN ('attaching', 'detaching')
               AND COALESCE(v.migration_status, 'success') IN ('success', 'error')
               AND COALESCE(b.updated_at, b.created_at) < $grace)
        SELECT b.instance_uuid AS server, b.volume_id AS volume, b.id AS bdm, b.cell AS cell,
               b.attachment_id AS attachment, b.boot_index AS boot_index, b.device_name AS device,
               s.project_id AS project, s.host AS host, s.vm_state AS vm_state, MIN(h.instance_uuid) AS other_server,
               CASE WHEN b.volume IS NULL THEN 'volume-missing'
                    WHEN COUNT(CASE WHEN h.instance_uuid = b.instance_uuid THEN 1 END) > 0 THEN 'other-attachment'
                    WHEN COUNT(h.volume_id) > 0 THEN 'other-server'
                    WHEN b.attachment_id IS NULL THEN 'no-attachment-id'
                    ELSE 'attachment-missing' END AS code,
               CASE WHEN b.volume IS NULL THEN 'which no longer exists in Cinder'
                    WHEN COUNT(CASE WHEN h.instance_uuid = b.instance_uuid THEN 1 END) > 0
                    THEN 'which Cinder has attached to it by ' || MIN(CASE WHEN h.instance_uuid = b.instance_uuid
                                                                           THEN h.id END)
                         || ', while Nova names ' || COALESCE(b.attachment_id, 'none')
                    WHEN COUNT(h.instance_uuid) > 0 THEN 'which Cinder has attached to server ' || MIN(h.instance_uuid)
                    WHEN COUNT(h.volume_id) > 0 THEN 'which Cinder has attached to a host'
                    WHEN b.attachment_id IS NULL
                    THEN 'which names no attachment, and Cinder has the volume attached to no server'
                    ELSE 'which Cinder has attached to no server' END AS fault
          FROM loose b
          JOIN idle_servers s ON s.uuid = b.instance_uuid AND s.cell = b.cell
          LEFT JOIN cinder_volume_attachment h ON h.volume_id = b.volume_id AND NOT h.deleted
         WHERE s.changed_at < $idle AND NOT (s.vm_state = 'error' AND s.launched_at IS NULL)
         GROUP BY b.instance_uuid, b.volume_id, b.id, b.cell, b.attachment_id, b.boot_index, b.device_name, b.volume,
                  s.project_id, s.host, s.vm_state
        HAVING b.volume IS NULL OR b.attachment_id IS NOT NULL
            OR COUNT(CASE WHEN h.instance_uuid = b.instance_uuid THEN 1 END) = 0""",
)
