# SPDX-License-Identifier: Apache-2.0
"""A pool of Nova has the disk of a server that does not exist.

## What is wrong
A pool where Nova keeps disks (`nova = true`) was listed whole, and has an image `<server>_disk` (or `_disk.config`,
`_disk.local`, `_disk.swap`, `_disk.eph0`, `_disk.rescue`) whose server is deleted for longer than the age `reaped`
(code `deleted`), or of which no cell and not nova_api know anything (code `unknown`).

Left alone are the disks of every server that exists, wherever it is: shelved, soft-deleted, being resized, evacuated or
built; other names; the trash; and a pool that is `shared`, or most of whose disks belong to servers that Nova does not
know: these are another cloud's.

## Why it matters
It takes space that no quota counts. Where the row was lost and not the server, it is all there is of it.

## How it comes about
nova-compute failed to remove the image because a client still had it open (a crashed hypervisor keeps its watch for
30 seconds), and tries that only a few times; rows were deleted by SQL, or archived while their host was down; a
database was restored from a backup.

## How to see it by hand
`rbd ls -l <pool>`, and for each server `openstack server show <server>`; `SELECT uuid, deleted, vm_state FROM instances
WHERE uuid = '<server>'` in every cell.

## Repair and its risk
By hand, and never with a cell that cannot be read: that one may own it. A guest may still run on it where nobody looks
(`stackmend audit --hosts`): `rbd status` lists who has it open. Then move it to the trash with a date; what is
purged from there is lost, IRREVERSIBLE.
"""

from stackmend.checks.storage import ASIDE
from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import EVERY_SERVER, existence

OUTSIDE_CHECK = OutsideCheck(
    name="rbd-server-disk-orphan",
    catalogue="G5",
    severity=Severity.WARNING,
    message="pool {place} has {name} ({amount}): {code}",
    codes={"deleted": "server {server} was deleted at {since}", "unknown": "no cell knows server {server}"},
    resource=("storage-object", "name"),
    key=("backend", "name"),
    needs=EVERY_SERVER,
    reads={
        **existence(),
        "storage_visits": {},
        "storage_objects": {"backend": "backend", "name": "name"},
    },
    ages={"reaped": 86_400},
    by_hand="{way}",
    sql=f"""
        WITH disks AS (
            SELECT o.backend, o.name, o.uuid, o.size, o.based, o.used, v.kind, v.place, v.asked, v.program
              FROM storage_objects o
              JOIN storage_visits v ON v.backend = o.backend AND v.nova AND v.ours
             WHERE o.kind = 'disk' AND o.role = ''),
        known AS (SELECT DISTINCT LOWER(e.uuid) AS uuid FROM existing_servers e JOIN disks d ON d.uuid = LOWER(e.uuid)),
        gone AS (
            SELECT LOWER(i.uuid) AS uuid, MAX(COALESCE(i.deleted_at, i.updated_at, i.created_at)) AS deleted_at
              FROM nova_instances i
              JOIN disks d ON d.uuid = LOWER(i.uuid)
             WHERE i.deleted
             GROUP BY LOWER(i.uuid)),
        orphans AS (
            SELECT d.backend, d.name, d.uuid, d.size, d.based, d.used, d.kind, d.place, d.asked, d.program,
                   g.deleted_at, CASE WHEN g.uuid IS NULL THEN 'unknown' ELSE 'deleted' END AS code
              FROM disks d
              LEFT JOIN known k ON k.uuid = d.uuid
              LEFT JOIN gone g ON g.uuid = d.uuid
             WHERE k.uuid IS NULL)
        SELECT backend, place, name, uuid AS server, size, based, used, code,
               COALESCE(CAST(size AS VARCHAR) || ' bytes', 'of unknown size') AS amount,
               STRFTIME(deleted_at, '%Y-%m-%d %H:%M') AS since, {ASIDE} AS way
          FROM orphans
         WHERE deleted_at IS NULL OR deleted_at < $reaped""",
)
