# SPDX-License-Identifier: Apache-2.0
"""A volume is stuck in attaching.

## What is wrong
The volume has been in status `attaching` for more than a quarter of an hour, and no operation is in progress on the
server. The `code` says what both services record about it:

* `attaching-mapped`: Nova has a block device mapping and Cinder an attachment that was never completed;
* `attaching-unmapped`: Cinder has the attachment, and Nova no mapping;
* `attaching-alone`: Nova has a mapping, and Cinder no attachment;
* `attaching-nothing`: neither is there, only the status is stale.

## Why it matters
The volume can be neither attached, detached nor deleted. If the guest has the disk, it writes to a volume whose
attachment Cinder does not count as complete.

## How it comes about
nova-compute or cinder-volume died, or a message was lost, while the volume was being attached.

## How to see it by hand
`openstack volume show <volume>`, `openstack --os-volume-api-version 3.27 volume attachment list --volume-id <volume>`
and `openstack server volume list <server>`. Only `virsh dumpxml` on the host shows whether the guest has the disk: its
serial number is the volume's id.

## Repair and its risk
Where one side has no record of it, `detach-volume` removes the other and the volume becomes available. That is only
right if the guest does not have the disk. `attaching-mapped` is left to a human: if the guest has the disk, complete
the attachment (`openstack --os-volume-api-version 3.44 volume attachment complete <attachment>`); if not, set the
volume to `in-use` and let Nova detach it.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle, stuck_volumes

CHECK = Check(
    name="volume-stuck-attaching",
    catalogue="H2",
    severity=Severity.ERROR,
    message="volume {volume} has been attaching since {since}: {code}",
    codes={
        "attaching-mapped": "Nova and Cinder both record server {server}, but the attachment was never completed",
        "attaching-unmapped": "Cinder records server {server}, but Nova has no block device mapping for it",
        "attaching-alone": "Nova has a block device mapping of it for server {server}, but Cinder has no attachment",
        "attaching-nothing": "neither Nova nor Cinder records a server for it",
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
    by_hand="no database shows whether the guest of server {server} has the disk. If it has one with serial {volume}"
    " (virsh dumpxml), complete the attachment; if not, let Nova detach the volume. See 'stackmend check show"
    " volume-stuck-attaching'",
    # one pair of volume and server represents the volume: a damaged one, if any
    sql=f"""
        WITH {stuck_volumes("attaching")}, pairs AS (
            SELECT volume_id, server,
                   CASE WHEN SUM(mappings) = 0 THEN 'attaching-unmapped'
                        WHEN SUM(attachments) = 0 THEN 'attaching-alone'
                        ELSE 'attaching-mapped' END AS code
              FROM sides WHERE server IS NOT NULL GROUP BY volume_id, server
        ), ranked AS (
            SELECT volume_id, server, code,
                   ROW_NUMBER() OVER (PARTITION BY volume_id
                                      ORDER BY CASE code WHEN 'attaching-mapped' THEN 0 WHEN 'attaching-unmapped' THEN 1
                                                         ELSE 2 END, server) AS place
              FROM pairs
        ), hosts AS (
            SELECT DISTINCT volume_id FROM sides WHERE server IS NULL
        )
        SELECT v.id AS volume, v.project_id AS project, p.server AS server, s.host AS host, v.since AS since,
               COALESCE(p.code, 'attaching-nothing') AS code
          FROM stuck v
          LEFT JOIN ranked p ON p.volume_id = v.id AND p.place = 1
          LEFT JOIN hosts h ON h.volume_id = v.id
          LEFT JOIN idle_servers s ON s.uuid = p.server
         WHERE h.volume_id IS NULL AND (p.server IS NULL OR s.uuid IS NOT NULL)""",
)
