# SPDX-License-Identifier: Apache-2.0
"""The back end of a volume does not have it.

## What is wrong
Cinder has a live volume, nothing is being done with it, and the back end that it is on was listed whole and has no
object of its name. The name is made of the id, or after a migration of `_name_id`. The `code` says what there is:

* `gone`: nothing, or on a share a file of a snapshot whose base is gone;
* `trash`: an image of that name is in the trash of the pool;
* `renamed`: it has the name that Cinder gives to a deleted volume that others are based on (`volume-<id>.deleted`);
* `elsewhere`: another back end that was listed has an object of that name.

Left alone are volumes that are being created, deleted, migrated, downloaded, reverted, restored or managed, those that
failed before they were made, those failed over to a replica or left behind by a failover (`error`, with their status
before it in `previous_status`: cinder/volume/manager.py, `failover`; a backup leaves one, too, so that a volume in
`error` that was ever backed up is not judged), and those of shares that were not mounted where
the list was made; and a volume on a share that is a file of a snapshot now, which is based on nothing: where the oldest
snapshot of a volume in use is deleted, Nova pulls all data into that one, and Cinder removes `volume-<id>`
(cinder/volume/drivers/remotefs.py: `_delete_snapshot_online`). A list is not believed at all if it has less than half
of the volumes that it should have, or nothing that Cinder knows, or none of them and some that Cinder has on another
back end.

## Why it matters
The data is not where Cinder looks for it. A guest that has it open may still work until it is stopped; everything else
fails: attach, snapshot, backup, and a live migration.

## How it comes about
Somebody cleaned up the pool or share by hand and by name, often after a list that was made on another cloud or before
a migration; a volume group was restored; `cinder-manage volume update_host` named the wrong back end; a deletion
removed the data and the row was set back to available (`openstack volume set --state available`).

## How to see it by hand
`openstack volume show <id> -c os-vol-host-attr:host -c os-vol-mig-status-attr:name_id`; then `rbd info
<pool>/volume-<id>`, `lvs <group>/volume-<id>`, or `ls` in the folder of its share.

## Repair and its risk
By hand. What is in the trash or has another name comes back with one command. What is on another back end is moved in
Cinder's records, not on the storage. For what is gone: do not stop its guest, do not detach it and do not delete the
volume, which also takes its snapshots, before a copy was looked for: in the trash, under another name, in backups
(`openstack volume backup list`), and at the guest itself, which may have the only copy open.
"""

from stackmend.model.check import OutsideCheck, Severity

_SETTLED = """
    NOT c.deleted AND COALESCE(c.updated_at, c.created_at) < $settled
    AND COALESCE(c.migration_status, 'success') IN ('success', 'error')
    AND COALESCE(c.replication_status, '') NOT IN ('failing-over', 'failed-over', 'failover-error', 'error')
    AND (c.status IN ('available', 'in-use', 'reserved', 'attaching', 'detaching', 'awaiting-transfer', 'maintenance',
                      'backing-up', 'error_backing-up', 'extending', 'error_extending')
         OR c.status = 'error' AND c.launched_at IS NOT NULL AND c.previous_status IS NULL)"""

OUTSIDE_CHECK = OutsideCheck(
    name="volume-backend-missing",
    catalogue="H23",
    severity=Severity.ERROR,
    message="volume {volume} ({status}, {size} GB): back end {backend} has no {name}, {code}",
    codes={
        "gone": "nor anything else that holds its data",
        "trash": "but its trash has",
        "renamed": "but {found}",
        "elsewhere": "but back end {found} has",
    },
    resource=("volume", "volume"),
    key=("volume",),
    needs=frozenset({"cinder"}),
    reads={
        "cinder_stored_volumes": {"id": "volume"},
        "storage_visits": {},
        "storage_owners": {},
        "storage_folders": {},
        "storage_objects": {"uuid": "stored"},
    },
    ages={"settled": 1800},
    by_hand="{way}",
    sql=f"""
        WITH used AS (
            SELECT DISTINCT c.host, COALESCE(c.cluster_name, '') AS cluster
              FROM cinder_stored_volumes c
             WHERE c.host IS NOT NULL AND {_SETTLED}),
        served AS (
            SELECT u.host, u.cluster, MIN(o.backend) AS backend
              FROM used u
              JOIN storage_owners o
                ON o.owner IN (u.host, split_part(u.host, '#', 1), u.cluster, split_part(u.cluster, '#', 1))
             GROUP BY u.host, u.cluster
            HAVING COUNT(DISTINCT o.backend) = 1),
        lost AS (
            SELECT c.id, LOWER(c.stored) AS stored, c.status, c.size, c.share, s.backend
              FROM cinder_stored_volumes c
              JOIN served s ON s.host = c.host AND s.cluster = COALESCE(c.cluster_name, '')
              LEFT JOIN storage_objects o
                ON o.uuid = LOWER(c.stored) AND o.backend = s.backend AND o.kind = 'volume'
                   AND (o.role = '' OR o.role = 'overlay' AND o.parent = '')
             WHERE o.uuid IS NULL AND {_SETTLED}),
        judged AS (
            SELECT DISTINCT l.id, l.stored, l.status, l.size, l.backend, v.kind, v.place, v.asked, v.program
              FROM lost l
              JOIN storage_visits v ON v.backend = l.backend AND v.cinder
              JOIN storage_folders f ON f.backend = l.backend AND (f.folder = '' OR f.folder = MD5(l.share))),
        likes AS (
            SELECT o.uuid, MAX(CASE WHEN o.role = 'trash' AND o.backend = l.backend THEN o.ref END) AS ref,
                   MAX(CASE WHEN o.role = 'deleted' AND o.backend = l.backend THEN o.name END) AS renamed,
                   MAX(CASE WHEN o.role = '' AND NULLIF(o.backend, l.backend) IS NOT NULL THEN o.backend END) AS other
              FROM storage_objects o
              JOIN lost l ON l.stored = o.uuid
             WHERE o.kind = 'volume'
             GROUP BY o.uuid),
        said AS (
            SELECT j.id, j.stored, j.status, j.size, j.backend, j.kind, j.place, j.program,
                   'volume-' || j.stored AS name, k.ref, COALESCE(k.renamed, k.other) AS found,
                   CASE WHEN k.ref IS NOT NULL THEN 'trash' WHEN k.renamed IS NOT NULL THEN 'renamed'
                        WHEN k.other IS NOT NULL THEN 'elsewhere' ELSE 'gone' END AS code,
                   CASE WHEN j.asked = '' THEN '' ELSE 'on ' || j.asked || ': ' END AS there
              FROM judged j
              LEFT JOIN likes k ON k.uuid = j.stored)
        SELECT id AS volume, stored, status, size, backend, name, found, code,
               CASE WHEN code = 'trash'
                    THEN there || program || ' trash restore ' || place || '/' || ref || ' --image ' || name
                         || '; before, if the volume is in use, see what its guest runs on (virsh domblklist), and'
                         || ' afterwards who has it open: ' || program || ' status ' || place || '/' || name
                    WHEN code = 'renamed'
                    THEN 'ask who deleted ' || id || '; if it is to live, ' || there || program || ' rename ' || place
                         || '/' || found || ' ' || place || '/' || name
                    WHEN code = 'elsewhere'
                    THEN 'compare its size and age with those of the volume. If it is the real one, Cinder has it on a'
                         || ' wrong back end: cinder-manage volume update_host moves all volumes of a host in its'
                         || ' records. For one volume there is no command: it is volumes.host in the row of ' || id
                    ELSE 'do not stop its guest, detach or delete it: a process may have the only copy open. '
                         || CASE WHEN kind = 'rbd' THEN there || program || ' ls -l ' || place || '; ' || program
                                      || ' trash ls --all ' || place
                                 WHEN kind = 'lvm' THEN there || 'vgcfgrestore --list ' || place || ' shows what the'
                                      || ' group had before (restoring it is IRREVERSIBLE for what is new)'
                                 ELSE there || 'find ''' || place || ''' -name ''*' || stored || '*''' END
                         || '; openstack volume backup list --volume ' || id || '; openstack volume snapshot list'
                         || ' --all-projects --volume ' || id END AS way
          FROM said""",
)
