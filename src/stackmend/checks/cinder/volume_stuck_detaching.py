# SPDX-License-Identifier: Apache-2.0
"""A volume is stuck in detaching.

## What is wrong
The volume has been in status `detaching` for more than a quarter of an hour, and no operation is in progress on the
server. The `code` says which of the three records (Nova's block device mapping, Cinder's attachment, the disk in the
guest) are left, as far as databases show:

* `intact`: mapping and attachment are both there, and the attachment is still complete;
* `attachment-ending`: both are there, but Cinder has begun to end the attachment: its export may no longer exist;
* `mapping-gone`: Cinder has an attachment that Nova has no mapping for;
* `attachment-gone`: Nova has a mapping that Cinder has no attachment for;
* `both-gone`: neither is there, only the status is stale.

## Why it matters
The volume can be neither attached, detached nor deleted. If the attachment is missing, Nova 28 and later silently
removes the disk from the server at its next reboot.

## How it comes about
nova-compute died in the middle of the detach, the guest refused to release the device, or the message was lost. `cinder
reset-state` and statements found on the web (`attach_status='detached', status='available'`) make it worse: the
attachment stays and the volume can be attached a second time, with two writers.

## How to see it by hand
Compare `openstack volume show <volume>` and `openstack --os-volume-api-version 3.27 volume attachment list --volume-id
<volume>` with `openstack server volume list <server>`. No database shows which disks the guest has: look for the
volume's id among the serial numbers in `virsh dumpxml` on the host, or have `stackmend audit --hosts` look.

## Repair and its risk
`intact` is rolled back to `in-use`, as Cinder's `os-roll_detaching` does: nothing is removed, and the detach can be
requested again. The other codes are finished by `detach-volume`: the remaining side is removed and the status follows
from the remaining attachments. That is only right once the guest no longer has the disk; otherwise the volume looks
free while the guest writes to it. A plan made with `--hosts` refuses it for a guest that runs and has the disk.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle, stuck_volumes

CHECK = Check(
    name="volume-stuck-detaching",
    catalogue="H1",
    severity=Severity.ERROR,
    message="volume {volume} has been detaching since {since}: {code}",
    codes={
        "intact": "Nova and Cinder both still have it attached to server {server}",
        "attachment-ending": "Nova has it attached to server {server}, but Cinder has begun to end the attachment",
        "mapping-gone": "Cinder has it attached to server {server}, but Nova has no block device mapping for it",
        "attachment-gone": "Nova has a block device mapping of it for server {server}, but Cinder has no attachment",
        "both-gone": "neither Nova nor Cinder has it attached",
    },
    resource=("volume", "volume"),
    key=("volume", "server"),
    sight=disk("host"),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume"},
        "nova_block_device_mapping": {"volume_id": "volume"},
        **idle("server"),
    },
    ages={"grace": 900},
    lasting=frozenset({"grace"}),
    # one pair of volume and server represents the volume: a damaged one, if any (multi-attach)
    sql=f"""
        WITH {stuck_volumes("detaching")}, pairs AS (
            SELECT volume_id, server,
                   CASE WHEN SUM(mappings) = 0 AND server IS NOT NULL THEN 'mapping-gone'
                        WHEN SUM(attachments) = 0 THEN 'attachment-gone'
                        WHEN SUM(whole) = 0 THEN 'attachment-ending'
                        ELSE 'intact' END AS code
              FROM sides GROUP BY volume_id, server
        ), ranked AS (
            SELECT volume_id, server, code,
                   ROW_NUMBER() OVER (PARTITION BY volume_id
                                      ORDER BY CASE code WHEN 'mapping-gone' THEN 0 WHEN 'attachment-gone' THEN 1
                                                         WHEN 'attachment-ending' THEN 2 ELSE 3 END, server) AS place
              FROM pairs
        )
        SELECT v.id AS volume, v.project_id AS project, p.server AS server, s.host AS host, v.since AS since,
               COALESCE(p.code, 'both-gone') AS code
          FROM stuck v
          LEFT JOIN ranked p ON p.volume_id = v.id AND p.place = 1
          LEFT JOIN idle_servers s ON s.uuid = p.server
         WHERE p.server IS NULL OR s.uuid IS NOT NULL""",
)
