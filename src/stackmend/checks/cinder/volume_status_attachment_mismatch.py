# SPDX-License-Identifier: Apache-2.0
"""The status of a volume contradicts its attachments.

## What is wrong
Cinder derives `volumes.status` and `attach_status` from the live attachments, and the row says something else. The
`code` says what:

* `free-but-attached`: it calls itself available or detached, and there is an attachment;
* `two-servers`: it may not be shared, and two servers have it by now, whatever it calls itself;
* `only-in-error`: its two columns contradict each other (available and attached, or in use and detached), and every
  attachment of it is in error;
* `taken-but-unattached`: it calls itself in use, reserved or attached, and neither an attachment nor a mapping of
  Nova's is there.

## Why it matters
Only its status tells whether a volume is free: one that is marked available but attached can be attached to a second
server, or deleted, while the first one writes to it. Nova cannot detach it either, because Cinder detaches only volumes
that are in use. A volume that is marked in use but attached to nothing can neither be attached nor deleted by its
owner.

## How it comes about
`UPDATE volumes SET attach_status='detached', status='available'`, as a widely read recipe says, or `cinder reset-state
--state available`: the attachments stay. The other way round, somebody removed attachment and mapping and left the
status.

## How to see it by hand
`openstack volume show <volume>` says `available` and lists attachments. Whether the guest has the disk tells `virsh
dumpxml` on the host that the attachment names: its serial number is the volume's id.

## Repair and its risk
`restore-volume-status` sets the row to what the attachments say; nobody loses anything. For `two-servers` a human must
act at once: stop one of the servers, and `volume detach --server` it. No repair makes such a volume shareable to
silence this. For `only-in-error` no row tells whether a guest has the disk: check the guest, then `volume detach` the
volume or set its status through Cinder. `detach-volume` frees a volume that nothing has attached, unless a server still
maps it; a guest that has the disk nevertheless would then write to a free volume: check first.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-status-attachment-mismatch",
    catalogue="H10",
    severity=Severity.ERROR,
    message="volume {volume} is {said}, and has {attached} live attachment(s) to {servers} server(s): {code}",
    codes={
        "free-but-attached": "it is not free",
        "two-servers": "two servers have it, and it may not be shared",
        "only-in-error": "every attachment of it is in error",
        "taken-but-unattached": "nobody has it",
    },
    resource=("volume", "volume"),
    key=("volume",),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume"},
        "nova_block_device_mapping": {"volume_id": "volume"},
        "nova_instances": {"uuid": "nova_block_device_mapping.instance_uuid"},
    },
    ages={"grace": 900},
    by_hand="of an attachment in error no row tells whether the guest has the disk. Look which guest has a disk with"
    " serial {volume} (virsh dumpxml)",
    # causes of their own, whose repairs set the status as well
    explained_by={
        "volume-in-use-server-gone": {"volume": "volume"},
        "cinder-attached-nova-not": {"volume": "volume"},
        "nova-bdm-cinder-detached": {"volume": "volume"},
    },
    # attachments in error do not count, but one of them may well be in a guest; in reserved Cinder has not yet decided
    # about attach_status, and what it works on (transitional statuses, migrations) is not at rest. A build that was
    # given up keeps its mappings for nothing
    sql="""
        WITH held AS (
            SELECT volume_id, COUNT(*) AS attachments, COUNT(DISTINCT instance_uuid) AS servers,
                   COUNT(DISTINCT CASE WHEN attach_status IN ('attached', 'attaching', 'detaching', 'reserved')
                                       THEN instance_uuid END) AS holders,
                   COUNT(CASE WHEN attach_status IN ('attached', 'attaching', 'detaching', 'reserved')
                              THEN 1 END) AS counted,
                   COUNT(CASE WHEN attach_status = 'attached' THEN 1 END) AS attached,
                   MAX(COALESCE(updated_at, created_at)) AS changed_at
              FROM cinder_volume_attachment WHERE NOT deleted GROUP BY volume_id
        ), suspects AS (
            SELECT v.id, v.project_id, v.status, v.attach_status, v.multiattach,
                   COALESCE(h.attachments, 0) AS attachments, COALESCE(h.servers, 0) AS servers,
                   COALESCE(v.updated_at, v.created_at) AS since,
                   CASE WHEN h.volume_id IS NULL THEN 'taken-but-unattached'
                        WHEN h.counted = 0 THEN 'only-in-error'
                        WHEN h.holders > 1 AND NOT COALESCE(v.multiattach, FALSE) THEN 'two-servers'
                        ELSE 'free-but-attached' END AS code
              FROM cinder_volumes v
              LEFT JOIN held h ON h.volume_id = v.id
             WHERE NOT v.deleted AND COALESCE(v.migration_status, 'success') IN ('success', 'error')
               AND COALESCE(v.updated_at, v.created_at) < $grace
               AND COALESCE(h.changed_at, v.created_at) < $grace
               AND ((h.counted > 0 AND v.status = 'available')
                 OR (h.counted = 0 AND v.status || '/' || v.attach_status IN ('available/attached', 'in-use/detached'))
                 OR (h.holders > 1 AND v.status IN ('in-use', 'reserved') AND NOT COALESCE(v.multiattach, FALSE))
                 OR (h.attached > 0 AND v.status = 'in-use' AND v.attach_status = 'detached')
                 OR (h.volume_id IS NULL AND (v.status IN ('in-use', 'reserved')
                                              OR (v.status = 'available' AND v.attach_status = 'attached')))))
        SELECT s.id AS volume, s.project_id AS project, s.status AS status, s.attach_status AS attach_status,
               COALESCE(s.status || '/' || s.attach_status, s.status) AS said, s.attachments AS attached,
               s.servers AS servers, s.code AS code, s.since AS since
          FROM suspects s
          LEFT JOIN nova_block_device_mapping b ON b.volume_id = s.id AND NOT b.deleted
          LEFT JOIN servers n ON n.uuid = b.instance_uuid AND n.cell = b.cell
         GROUP BY s.id, s.project_id, s.status, s.attach_status, s.attachments, s.servers, s.code, s.since
        HAVING s.code <> 'taken-but-unattached'
            OR COUNT(CASE WHEN COALESCE(n.vm_state, '') <> 'error' OR n.launched_at IS NOT NULL THEN b.id END) = 0""",
)
