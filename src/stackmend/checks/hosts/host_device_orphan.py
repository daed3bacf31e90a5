# SPDX-License-Identifier: Apache-2.0
"""A host has a block device of a volume that is not attached there.

## What is wrong
Code `session`: there is an iSCSI session to the target of one volume, and neither Cinder nor Nova has that volume
attached on this host, nor has a guest of it, nor is Cinder at work on it; `idle`: a multipath map, or a dm-crypt map
of a volume, that nothing has open, and each volume that is attached on this host is a disk of a guest that runs;
`dead`: the same, and none of its paths works; `pinned`: none of its paths works, and only partitions or logical
volumes on it have it open.

## Why it matters
The next volume may get the same LUN number, and the old device then shows **the data of another project** to whoever
opens it (CVE-2023-2088). Dead paths make `multipath`, `lvs` and nova-compute's own scans wait, until attaching a
volume fails.

## How it comes about
A volume was detached while its host could not be reached, or with `cinder reset-state`; a server was force-deleted or
evacuated; os-brick could not flush a map because its paths had failed (bug 2151837), or because the host had
activated the partitions or logical volumes in it (Seagate/seagate-exos-x-csi, pull request 141, describes such maps);
an attachment was deleted behind Nova's back (bug 2004555).

## How to see it by hand
`multipath -ll <map>`; `iscsiadm -m session -P 3`; `dmsetup info <map>`; `lsblk -s <device>`; `openstack volume
attachment list --all-projects` for the host.

## Repair and its risk
By hand, as os-brick does it: flush the map, remove each path, and log out of a target that leads to no other disk. A
map that is open is never flushed, and a target of several volumes is not left. See first that the device is not open,
that its WWID is not that of a volume in use, and that it is no disk of the host's own, such as a spare one. Nothing
is said of a host with a cinder-volume or cinder-backup of its own, which attach volumes to copy them, and nothing of
maps while a volume is attached there that no running guest shows: the device may be its. Connections of NVMe over
fabrics are not read, only maps on them. Devices do not say how old they are, so a finding is only reported once
audits have seen it for an hour (age `seen`).
"""

from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="host-device-orphan",
    catalogue="G6",
    severity=Severity.WARNING,
    message="{host} has {what} {name}: {code}",
    codes={
        "session": "volume {volume} is not attached there",
        "idle": "nothing has it open, and no attached volume lacks a device there",
        "dead": "nothing has it open, none of its paths works, and no attached volume lacks a device there",
        "pinned": "none of its paths works, only maps on it have it open, and no attached volume lacks a device there",
    },
    resource=("host", "host"),
    key=("host", "name"),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "host_sessions": {"host": "host"},
        "host_maps": {"host": "host"},
        "host_domains": {"host": "host"},
        "host_disks": {"host": "host"},
        "cinder_services": {},
        "cinder_volume_attachment": {"attached_host": "host"},
        "cinder_stored_volumes": {"stored": "volume"},
        "nova_instances": {"host": "host"},
        "nova_block_device_mapping": {"instance_uuid": "nova_instances.uuid"},
    },
    ages={"seen": 3600},
    by_hand="see on {host} that nothing has it open, and it is no disk of the host's own ({look}); then: {commands}",
    sql="""
        WITH own AS (
            SELECT DISTINCT SPLIT_PART(SPLIT_PART(host, '@', 1), '.', 1) AS host
              FROM cinder_services WHERE NOT deleted AND "binary" IN ('cinder-volume', 'cinder-backup')),
        attached AS (
            SELECT a.attached_host AS host, a.volume_id
              FROM cinder_volume_attachment a WHERE NOT a.deleted AND a.attached_host IS NOT NULL
            UNION
            SELECT i.host, b.volume_id
              FROM nova_instances i
              JOIN nova_block_device_mapping b ON b.instance_uuid = i.uuid AND b.cell = i.cell
             WHERE NOT i.deleted AND i.host IS NOT NULL AND NOT b.deleted AND b.volume_id IS NOT NULL),
        shown AS (
            SELECT k.host, k.serial AS volume_id, MAX(CASE WHEN d.runs THEN 1 ELSE 0 END) AS runs
              FROM host_disks k JOIN host_domains d ON d.host = k.host AND d.uuid = k.uuid
             WHERE k.serial <> ''
             GROUP BY k.host, k.serial),
        waiting AS (
            SELECT DISTINCT a.host
              FROM attached a LEFT JOIN shown s ON s.host = a.host AND s.volume_id = a.volume_id AND s.runs = 1
             WHERE s.volume_id IS NULL),
        used AS (  -- a migration may have changed which volume has the target of this name
            SELECT x.host, x.volume
              FROM host_sessions x
              JOIN cinder_stored_volumes c ON LOWER(c.stored) = x.volume AND NOT c.deleted
              LEFT JOIN attached a ON a.host = x.host AND a.volume_id = c.id
              LEFT JOIN shown s ON s.host = x.host AND s.volume_id = c.id
             WHERE a.host IS NOT NULL OR s.host IS NOT NULL
                OR COALESCE(c.migration_status, 'none') NOT IN ('none', 'success', 'error')
                OR c.status NOT IN ('available', 'in-use') AND c.status NOT LIKE 'error%'
            UNION
            SELECT x.host, x.volume
              FROM host_sessions x JOIN host_disks k ON k.host = x.host AND CONTAINS(LOWER(k.source), x.volume)
             WHERE x.volume <> ''),
        found AS (
            SELECT x.host, x.target AS name, 'the iSCSI target' AS what, x.volume, 'session' AS code,
                   'iscsiadm -m session -P 3; lsblk' AS look,
                   'multipath -f of the map on its disks, if there is one; once that has succeeded: iscsiadm -m node'
                   || ' -T ' || x.target || ' -u; iscsiadm -m node -T ' || x.target || ' -o delete' AS commands
              FROM host_sessions x
              LEFT JOIN attached a ON a.host = x.host AND a.volume_id = x.volume
              LEFT JOIN shown s ON s.host = x.host AND s.volume_id = x.volume
              LEFT JOIN used u ON u.host = x.host AND u.volume = x.volume
             WHERE x.volume <> '' AND a.host IS NULL AND s.host IS NULL AND u.host IS NULL
            UNION
            SELECT m.host, m.name, CASE m.kind WHEN 'crypt' THEN 'the dm-crypt map' ELSE 'the multipath map' END, '',
                   CASE WHEN m.holders > 0 THEN 'pinned' WHEN m.kind = 'multipath' AND m.alive = 0 THEN 'dead'
                        ELSE 'idle' END,
                   'dmsetup info ' || m.name || '; lsblk -f /dev/' || m.device,
                   CASE m.kind WHEN 'crypt' THEN 'cryptsetup close ' || m.name
                        ELSE CASE WHEN m.holders > 0
                                  THEN 'take away what is stacked on it (kpartx -d ' || m.name
                                       || ', or vgchange -an of a guest''s volume group); ' ELSE '' END
                             || 'multipath -f ' || m.name || '; once that has succeeded, for each of its paths ('
                             || m.paths || '): echo 1 > /sys/block/PATH/device/delete' END
              FROM host_maps m
              LEFT JOIN waiting w ON w.host = m.host
             WHERE NOT m.mixed AND w.host IS NULL AND (m.kind = 'multipath' OR m.name LIKE 'crypt-%')
               AND ((m.holders = 0 AND m.opened = 0)
                    OR (m.kind = 'multipath' AND m.alive = 0 AND m.opened <= m.holders)))
        SELECT f.host, f.name, f.what, f.volume, f.code, f.look, f.commands
          FROM found f
          LEFT JOIN own o ON o.host = SPLIT_PART(f.host, '.', 1)
         WHERE o.host IS NULL""",
)
