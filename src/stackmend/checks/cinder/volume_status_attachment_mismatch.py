# SPDX-License-Identifier: Apache-2.0
"""The status of a volume contradicts its attachments.

## What is wrong
Cinder derives `volumes.status` and `attach_status` from the live attachments, but the row has other values. The `code`
says which:

* `free-but-attached`: the row says available or detached, but there is an attachment;
* `two-servers`: the volume is not multi-attach, but two servers have it, whatever the row says;
* `only-in-error`: its two columns contradict each other (available and attached, or in use and detached), and all its
  attachments are in error;
* `taken-but-unattached`: the row says in use, reserved or attached, but there is neither an attachment nor a mapping in
  Nova.

## Why it matters
Only its status shows whether a volume is free: one that is marked available but attached can be attached to a second
server, or deleted, while the first one writes to it. Nova cannot detach it either, because Cinder detaches only volumes
that are in use. A volume that is marked in use but attached to nothing can neither be attached nor deleted by its
owner.

## How it comes about
`UPDATE volumes SET attach_status='detached', status='available'`, as a widely read recipe recommends, or `cinder
reset-state --state available`: the attachments stay. Conversely, somebody removed attachment and mapping but left the
status.

## How to see it by hand
`openstack volume show <volume>` shows `available` and lists attachments. `virsh dumpxml` on the host in the attachment
shows whether the guest has the disk: its serial number is the volume's id.

## Repair and its risk
`restore-volume-status` sets the row to match the attachments; nobody loses anything. For `two-servers` a human must
act at once: stop one of the servers, and `volume detach --server` it. No repair makes such a volume multi-attach to
silence this. For `only-in-error` no row shows whether a guest has the disk: check the guest, then `volume detach` the
volume or set its status through Cinder. `detach-volume` frees a volume that nothing has attached, unless a server still
maps it; a guest that has the disk nevertheless would then write to a free volume: check first.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-status-attachment-mismatch",
    catalogue="H10",
    severity=Severity.ERROR,
    message="volume {volume} is {said}, and has {attached} live attachment(s) to {servers} server(s): {code}",
    codes={
        "free-but-attached": "it is not free",
        "two-servers": "two servers have it, but it is not multi-attach",
        "only-in-error": "all its attachments are in error",
        "taken-but-unattached": "nothing has it attached",
    },
    resource=("volume", "volume"),
    key=("volume",),
    sight=disk(),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume"},
        "nova_block_device_mapping": {"volume_id": "volume"},
        "nova_instances": {"uuid": "nova_block_device_mapping.instance_uuid"},
    },
    ages={"grace": 900},
    by_hand="for an attachment in error no row shows whether the guest has the disk. Check which guest has a disk with"
    " serial {volume} (virsh dumpxml)",
    # findings with their own cause, whose repairs set the status as well
    explained_by={
        "volume-in-use-server-gone": {"volume": "volume"},
        "cinder-attached-nova-not": {"volume": "volume"},
        "nova-bdm-cinder-detached": {"volume": "volume"},
    },
    # attachments in error do not count, but a guest may have one of them; in reserved Cinder has not yet decided about
    # attach_status, and volumes it works on (transitional statuses, migrations) are not settled. An abandoned build
    # keeps its mappings without using them
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
