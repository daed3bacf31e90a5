# SPDX-License-Identifier: Apache-2.0
"""A server has two block device mappings of one volume, or two boot disks.

## What is wrong
Nova's rows of the disks of a server contradict each other. The `code` says how:

* `twice`: two mappings of the same volume are live, and only one of them names an attachment that Cinder has;
* `both`: two mappings of the same volume are live, and no row shows which is right;
* `two-boot-disks`: two live mappings have the boot index 0.

## Why it matters
A detach removes one mapping and leaves the other: the server cannot be started, because its volume is gone. With two
boot disks, which one the guest boots from changes with the order of the rows.

## How it comes about
Two attach requests for the same volume at the same moment, a mapping that was inserted by hand, or one that was
revived although Nova had made a new one (bug 1404867).

## How to see it by hand
In the cell's database, `SELECT id, volume_id, attachment_id, boot_index, device_name FROM block_device_mapping WHERE
deleted = 0 AND instance_uuid = '<server>'`; `openstack --os-volume-api-version 3.27 volume attachment list --volume-id
<volume>`.

## Repair and its risk
For `twice`, `drop-duplicate-bdm` marks the mapping deleted whose attachment Cinder does not have; the other one
remains, so that the server keeps its disk. The others are left to a human, who can see in the guest's definition which
disks it has.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="bdm-anomaly",
    catalogue="H28",
    severity=Severity.WARNING,
    message="server {server} has {mappings} block device mappings {words}: {code}",
    codes={
        "twice": "one of them names an attachment that Cinder has",
        "both": "no row shows which is right",
        "two-boot-disks": "all are boot disks",
    },
    resource=("server", "server"),
    key=("server", "volume"),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "nova_block_device_mapping": {"instance_uuid": "server"},
        "cinder_volume_attachment": {"instance_uuid": "server"},
        **idle("server"),
    },
    ages={"grace": 900, "idle": 600},
    by_hand="compare 'virsh dumpxml' of server {server} on its host with its rows in block_device_mapping, and mark the"
    " row deleted that the guest does not have (deleted = id, deleted_at = UTC_TIMESTAMP())",
    sql="""
        WITH doubled AS (
            SELECT cell, instance_uuid, volume_id, COUNT(*) AS mappings
              FROM nova_block_device_mapping
             WHERE NOT deleted AND volume_id IS NOT NULL AND destination_type = 'volume'
             GROUP BY cell, instance_uuid, volume_id
            HAVING COUNT(*) > 1 AND MAX(COALESCE(updated_at, created_at)) < $grace
        ), booted AS (
            SELECT cell, instance_uuid, COUNT(*) AS mappings
              FROM nova_block_device_mapping
             WHERE NOT deleted AND boot_index = 0
             GROUP BY cell, instance_uuid
            HAVING COUNT(*) > 1 AND MAX(COALESCE(updated_at, created_at)) < $grace
        ), named AS (
            SELECT d.cell, d.instance_uuid, d.volume_id, COUNT(a.id) AS good
              FROM doubled d
              JOIN nova_block_device_mapping b ON b.instance_uuid = d.instance_uuid AND b.volume_id = d.volume_id
                                              AND b.cell = d.cell AND NOT b.deleted
              LEFT JOIN cinder_volume_attachment a ON a.id = b.attachment_id AND a.volume_id = b.volume_id
                                                  AND a.instance_uuid = b.instance_uuid AND NOT a.deleted
             GROUP BY d.cell, d.instance_uuid, d.volume_id
        ), found AS (
            SELECT d.cell, d.instance_uuid, d.volume_id, d.mappings, 'of volume ' || d.volume_id AS words,
                   CASE WHEN n.good = 1 THEN 'twice' ELSE 'both' END AS code
              FROM doubled d
              JOIN named n ON n.cell = d.cell AND n.instance_uuid = d.instance_uuid AND n.volume_id = d.volume_id
            UNION ALL
            SELECT o.cell, o.instance_uuid, '', o.mappings, 'with boot index 0', 'two-boot-disks' AS code
              FROM booted o
              LEFT JOIN doubled d ON d.instance_uuid = o.instance_uuid AND d.cell = o.cell
             WHERE d.instance_uuid IS NULL
        )
        SELECT f.instance_uuid AS server, f.volume_id AS volume, f.cell AS cell, f.mappings AS mappings,
               f.words AS words, s.project_id AS project, s.host AS host, f.code AS code
          FROM found f
          JOIN idle_servers s ON s.uuid = f.instance_uuid AND s.cell = f.cell
         WHERE s.changed_at < $idle""",
)
