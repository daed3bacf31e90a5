# SPDX-License-Identifier: Apache-2.0
"""A hypervisor has a domain of Nova's whose server is deleted, unknown, or on another host.

## What is wrong
The domain has Nova's metadata. Code `deleted`: its server is marked deleted, for longer than Nova takes to clean up;
`unknown`: no cell has a row of it, and nova_api knows nothing of it either; `foreign`: its server is on another host,
nothing is being done with it, and this copy is a leftover of a move; `evacuated`: the server was evacuated from here,
and nova-compute here has not cleaned up since; `alone`: its server is on another host, and what was seen there is less
than this copy: nothing, or a domain that does not run while this one does (or that host was not read); `offloaded`: the
server is shelved and should be nowhere.

## Why it matters
While it runs it answers under the address of the real server or of a new one, writes to volumes that belong to somebody
else by now, and uses memory that the scheduler believes to be free. Shut off, it waits to be started by accident.

## How it comes about
A server deleted while its host was down, a row deleted by SQL, an evacuation of a host that came back, a move that
failed while it cleaned up.

## How to see it by hand
`virsh --readonly list --all` and `virsh --readonly dumpxml <server>` on the host, `openstack server show <server>`,
`openstack server migration list --server <server>`; compare `virsh domblklist` with the disks of the real one.

## Repair and its risk
By hand, and never with a cell that cannot be read: that one may own it. `alone` may be all there is of the server, and
may have the newest data: read the other host first, then find out which of them its disks belong to. For `evacuated`
restart nova-compute there: it destroys the copy itself, **and its disks, unless it shares them with the new host**: the
new server was then built from its image, and what its owner had is on these alone. Otherwise, once its owner agrees and
you have seen that no disk of it is used by the real server: `virsh destroy`, then `virsh undefine --nvram` **without**
`--remove-all-storage`: on shared storage these are the disks of the real one. Then `stackmend host salvage` shows what
is left of its directory.
"""

from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import EVERY_SERVER, existence, idle

OUTSIDE_CHECK = OutsideCheck(
    name="domain-undead",
    catalogue="F1",
    severity=Severity.ERROR,
    message="{host} has a domain {name}, {state}, of server {server}: {code}",
    codes={
        "deleted": "that server was deleted",
        "unknown": "no cell knows that server",
        "foreign": "that server is on {lives_on}",
        "evacuated": "that server was evacuated from here to {lives_on}",
        "alone": "that server is on {lives_on}, but no copy was seen running on {lives_on}",
        "offloaded": "that server is shelved, and on no host",
    },
    resource=("server", "server"),
    key=("server", "host"),
    needs=EVERY_SERVER,
    reads={**existence(), **idle(), "host_domains": {"uuid": "server"}},
    ages={"idle": 900, "reaped": 3600},
    explained_by={
        "server-active-domain-missing": {"server": "server"},
        "server-wrong-host": {"server": "server"},
        "domain-on-two-hosts": {"server": "server"},
    },
    by_hand="{advice}",
    sql="""
        WITH guests AS (
            SELECT DISTINCT host, uuid, name, state, CASE WHEN runs THEN 2 ELSE 1 END AS life
              FROM host_domains WHERE nova),
        named AS (
            SELECT DISTINCT uuid FROM guests),
        living AS (
            SELECT i.uuid, MAX(i.host) AS host, COUNT(*) AS many, MAX(i.vm_state) AS vm_state
              FROM nova_instances i JOIN named n ON n.uuid = i.uuid
             WHERE NOT COALESCE(i.deleted, FALSE)
             GROUP BY i.uuid),
        own AS (
            SELECT g.uuid, MAX(g.life) AS life FROM guests g JOIN living l ON l.uuid = g.uuid AND l.host = g.host
             GROUP BY g.uuid),
        gone AS (
            SELECT i.uuid, MAX(COALESCE(i.deleted_at, i.updated_at, i.created_at)) AS deleted_at
              FROM nova_instances i JOIN named n ON n.uuid = i.uuid
             WHERE i.deleted
             GROUP BY i.uuid),
        known AS (
            SELECT DISTINCT e.uuid FROM existing_servers e JOIN named n ON n.uuid = e.uuid),
        fled AS (
            SELECT DISTINCT m.instance_uuid AS uuid, m.source_compute AS host
              FROM nova_migrations m JOIN guests g ON g.uuid = m.instance_uuid AND g.host = m.source_compute
             WHERE m.migration_type = 'evacuation' AND m.status IN ('accepted', 'pre-migrating', 'done')),
        resting AS (
            SELECT s.uuid, s.vm_state
              FROM idle_servers s JOIN named n ON n.uuid = s.uuid
             WHERE s.changed_at < $idle AND s.vm_state <> 'resized'),
        judged AS (
            SELECT g.host, g.uuid, g.name, g.state, l.host AS lives_on,
                   CASE WHEN l.uuid IS NULL AND k.uuid IS NULL AND d.uuid IS NULL THEN 'unknown'
                        WHEN l.uuid IS NULL AND k.uuid IS NULL AND d.deleted_at < $reaped THEN 'deleted'
                        WHEN l.many = 1 AND r.uuid IS NOT NULL AND l.host IS NULL
                             AND l.vm_state = 'shelved_offloaded' THEN 'offloaded'
                        WHEN l.many = 1 AND r.uuid IS NOT NULL AND NULLIF(g.host, l.host) IS NOT NULL
                             AND l.host IS NOT NULL
                        THEN CASE WHEN COALESCE(o.life, 0) < g.life THEN 'alone'
                                  WHEN f.uuid IS NULL THEN 'foreign' ELSE 'evacuated' END END AS code
              FROM guests g
              LEFT JOIN living l ON l.uuid = g.uuid
              LEFT JOIN own o ON o.uuid = g.uuid
              LEFT JOIN gone d ON d.uuid = g.uuid
              LEFT JOIN known k ON k.uuid = g.uuid
              LEFT JOIN resting r ON r.uuid = g.uuid
              LEFT JOIN fled f ON f.uuid = g.uuid AND f.host = g.host)
        SELECT DISTINCT j.uuid AS server, j.host, j.name, j.state, j.lives_on, j.code,
               CASE WHEN j.code = 'evacuated'
                    THEN 'if its disks are on ' || j.host || ' itself, copy what its owner may need: they are destroyed'
                         || ' too. Then restart nova-compute on ' || j.host || ': it destroys its copy of ' || j.uuid
                    WHEN j.code = 'alone'
                    THEN 'do not destroy it, it may be all there is of ' || j.uuid || ' (after an evacuation,'
                         || ' nova-compute on ' || j.host || ' destroys it when it begins). Read both hosts: stackmend'
                         || ' audit --hosts ' || j.lives_on || ' ' || j.host || '; see which has its disks: stackmend'
                         || ' server where ' || j.uuid
                    ELSE 'compare virsh domblklist ' || j.uuid || ' with the disks of the real server; with the'
                         || ' consent of its owner, on ' || j.host || ': virsh destroy ' || j.uuid
                         || '; virsh undefine --nvram ' || j.uuid || ' (never with --remove-all-storage)' END AS advice
          FROM judged j
         WHERE j.code IS NOT NULL""",
)
