# SPDX-License-Identifier: Apache-2.0
"""The lock of a disk is held by a client that is gone, and the guest cannot write.

## What is wrong
A server is to run (active, power state running, nothing in progress, its nova-compute up), and the exclusive lock of
one of its RBD images, a disk or a volume that it alone has, belongs to a client that does not have the image open.
The `code` says who has:

* `barred`: another client, which did not get the lock. It may not write, or had nothing to write yet;
* `blocklisted`: nobody, and the owner of the lock is blocklisted: the guest of a client that was cut off;
* `unopened`: nobody, although Nova says that the server runs.

Left alone are locks that somebody took by hand (`rbd lock add`), images that several clients lock together, volumes
of several servers, and those that a server has reserved or reads only; the disk of the configuration, which nobody
writes to, and those of a rescue that is over; and servers that are being moved, or whose host is down: whoever starts
them breaks the lock. A daemon of `rbd-mirror`, and whoever makes a snapshot or a backup, holds a lock only while it has
the image open.

## Why it matters
The guest has a disk that it can read and not write: it stops in the initramfs with I/O errors, or its file systems
are read-only. Ceph is healthy, Nova says that the server runs, and new servers work.

## How it comes about
A client that loses power, or is killed, leaves its lock. The next one blocklists it and takes the lock, if its
account may: `profile rbd` can, `mon 'allow r'` cannot, and some releases of librbd send the command in a form that
the monitor refuses (Ceph 54613, with rbd_blocklist_expire_seconds). A client that was blocklisted, because it was
silent or to fence its host, stays without its images until its process is started again.

## How to see it by hand
`rbd lock ls <pool>/<image>` names the owner, `rbd status <pool>/<image>` those who have it open, `ceph osd blocklist
ls` whom the cluster refuses; `openstack console log show <server>` has the I/O errors; `ceph auth get client.<name>`
shows what the account may.

## Repair and its risk
By hand: only who sees its machine knows that the owner is gone. A client that lives and lost its connection for half
a minute looks the same, and two clients that write to one image destroy it. So blocklist the owner first, then remove
its lock, as the plan prints it, with an account of an administrator. A blocklisted client cannot write any more until
its process starts anew: if it lived after all, its guest gets I/O errors in place of a destroyed disk. The lock that
was removed does not come back, which is IRREVERSIBLE and loses nothing. Then start the guest again (`openstack server
reboot --hard`), which checks its file systems. The cure is an account with `mon 'profile rbd' osd 'profile rbd
pool=...'`.
"""

from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import LAST_SEEN, idle

OUTSIDE_CHECK = OutsideCheck(
    name="rbd-lock-stale",
    catalogue="-",
    severity=Severity.ERROR,
    message="server {server} on {host}: {owner} holds the lock of {path} and does not have it open; {code}",
    codes={
        "barred": "{watchers} does, without the lock",
        "blocklisted": "nor does anybody, and it is blocklisted until {barred}",
        "unopened": "nor does anybody",
    },
    resource=("server", "server"),
    key=("backend", "name", "server"),
    needs=frozenset({"cinder"}),
    reads={
        **idle(),
        "nova_services": {"host": "host"},
        "storage_visits": {},
        "storage_clients": {"backend": "backend", "name": "name"},
        "cinder_stored_volumes": {"stored": "stored"},
        "cinder_volume_attachment": {"volume_id": "cinder_stored_volumes.id"},
    },
    ages={"idle": 600, "alive": 120},
    lasting=frozenset({"alive"}),
    by_hand="{way}",
    sql=f"""
        WITH held AS (
            SELECT c.backend, c.kind, c.name, c.uuid, c.path, c.watchers, c.owner, c.locker, c.lock, c.barred,
                   v.asked
              FROM storage_clients c
              JOIN storage_visits v ON v.backend = c.backend
             WHERE c.managed AND NOT c.alive),
        volumes AS (
            SELECT h.backend, h.name, MIN(LOWER(a.instance_uuid)) AS server
              FROM held h
              JOIN cinder_stored_volumes c ON LOWER(c.stored) = h.uuid AND NOT c.deleted
              JOIN cinder_volume_attachment a ON a.volume_id = c.id AND NOT a.deleted
             WHERE h.kind = 'volume'
             GROUP BY h.backend, h.name
            HAVING COUNT(DISTINCT LOWER(a.instance_uuid)) = 1
               AND COUNT(*) = COUNT(CASE WHEN a.attach_status = 'attached' AND COALESCE(a.attach_mode, 'rw') <> 'ro'
                                         THEN a.instance_uuid END)),
        locked AS (
            SELECT h.backend, h.name, h.uuid AS stored, COALESCE(v.server, h.uuid) AS server, h.path, h.watchers,
                   h.owner, h.locker, h.lock, h.barred, h.asked
              FROM held h
              LEFT JOIN volumes v ON v.backend = h.backend AND v.name = h.name
             WHERE v.server IS NOT NULL OR h.kind = 'disk' AND h.name NOT LIKE '%_disk.config%'
                   AND h.name NOT LIKE '%.rescue'),
        {LAST_SEEN},
        stale AS (
            SELECT l.backend, l.name, l.stored, s.uuid AS server, s.host, l.path, l.watchers, l.owner, l.locker, l.lock,
                   l.barred, l.asked, CASE WHEN l.watchers <> '' THEN 'barred' WHEN l.barred <> '' THEN 'blocklisted'
                                           ELSE 'unopened' END AS code
              FROM locked l
              JOIN idle_servers s ON LOWER(s.uuid) = l.server
              JOIN beating b ON b.cell = s.cell AND b.host = s.host
              LEFT JOIN acted a ON a.uuid = s.uuid
             WHERE s.vm_state = 'active' AND s.power_state = 1 AND s.changed_at < $idle
               AND (a.acted_at IS NULL OR a.acted_at < $idle))
        SELECT backend, name, stored, server, host, path, watchers, owner, locker, lock, barred, code,
               'see that nothing of ' || owner || ' lives any more: the machine with that address, and virsh list on '
               || host || '. If it is gone, as an administrator of Ceph'
               || CASE WHEN asked = '' THEN '' ELSE ' on ' || asked END
               || ': ceph osd blocklist add ' || owner || ' && rbd lock rm ' || path || ' ''' || lock || ''' ' || locker
               || ' (IRREVERSIBLE; in this order, so that a client that lives cannot write beside another).'
               || ' Then openstack server reboot --hard ' || server
               || CASE code
                  WHEN 'blocklisted'
                  THEN ', before which ceph osd blocklist ls must have no entry for all of its machine (ADDRESS:0/0)'
                  WHEN 'unopened' THEN ', or only that, if its account may take the lock' ELSE '' END
               || '. The cure: the account of hypervisors needs mon ''profile rbd'' and osd ''profile rbd pool=...'''
               || ' (ceph auth get, ceph auth caps), or every loss of power ends like this' AS way
          FROM stale""",
)
