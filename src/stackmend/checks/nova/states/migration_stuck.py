# SPDX-License-Identifier: Apache-2.0
"""A migration of a server never ended.

## What is wrong
A row in `migrations` is in a state that should pass, and has not changed for longer than that may take: an hour before
the move begins and while it is confirmed or reverted, six hours while disk or memory are copied, two if nova-compute on
its source is down. A migration in the queue of a nova-compute that runs is not meant, nor is an evacuation. The `code`
says more:

* `abandoned`: the server is idle, and nobody knows of the migration any more;
* `not-resized`: the migration awaits a confirmation, but the server is not `resized`, so nobody can confirm it;
* `host-down`: nova-compute on one of its hosts has sent no heartbeat for ten minutes;
* `host-up`: it runs on both.

## Why it matters
The server is locked by the move, or its resources are counted on two hosts. nova-compute services of a host with a
migration in progress cannot be deleted (409). An evacuation or another move may be refused.

## How it comes about
nova-compute or nova-conductor was stopped during the move (bug 1339823), or the source was down when the resize was
confirmed (bug 1855927). When nova-compute starts, it clears the task_state of the server but ends only migrations in
`running`. `openstack server set --state active` on a resized server makes `not-resized`.

## How to see it by hand
`openstack server migration list --server <server>`, `openstack server show <server>`, and on both hosts `virsh list
--all --uuid` and `virsh domjobinfo <domain>`.

## Repair and its risk
`end-migration` ends an `abandoned` one: `error` if the server is on its source, `completed` if it is a live migration
and the server is on its destination. Only the hypervisors show where the guest is, so consent by name is required. The
others are decided by hand: both hosts may have a disk of the server, and the wrong one must not be started. An
allocation that the migration holds is a finding of its own (`allocation-orphan`) once it has ended. Never mark a
migration `confirmed` by hand: nobody cleans up its source then.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import LAST_SEEN, idle

CHECK = Check(
    name="migration-stuck",
    catalogue="C6",
    severity=Severity.WARNING,
    message="the {type} {migration} of server {server} from {source} has been {status} since {since}: {code}",
    codes={
        "abandoned": "the server is idle ({vm_state}) on {host}",
        "not-resized": "the server is {vm_state}, so nobody can confirm or revert it",
        "host-down": "nova-compute on {down} is down",
        "host-up": "nova-compute runs, but nothing has been recorded since",
    },
    resource=("server", "server"),
    key=("server", "migration"),
    sight=guest("host", "source"),
    reads={**idle(), "nova_services": {}},
    ages={"idle": 900, "grace": 3600, "stuck": 7200, "long": 21600, "alive": 600},
    lasting=frozenset({"grace", "stuck", "long", "alive"}),
    explained_by={"server-stuck-deleting": {"server": "server"}, "server-wrong-host": {"server": "server"}},
    by_hand="{way}",
    sql=f"""
        WITH {LAST_SEEN}, moved AS (
            SELECT m.cell, m.id, m.instance_uuid, m.migration_type, m.status, m.source_compute, m.dest_compute,
                   m.changed_at AS moved_at, f.host AS source_up, t.host AS dest_up
              FROM moves m
              LEFT JOIN beating f ON f.cell = m.cell AND f.host = m.source_compute
              LEFT JOIN beating t ON t.cell = m.cell AND t.host = m.dest_compute
             WHERE COALESCE(m.migration_type, '') <> 'evacuation' AND m.changed_at < $grace
               AND NOT (m.status = 'queued' AND f.host IS NOT NULL)
        ), timed AS (
            SELECT s.uuid, s.cell, s.project_id, s.host, s.vm_state, s.task_state, m.id, m.migration_type, m.status,
                   m.source_compute, m.dest_compute, m.source_up, m.dest_up, m.moved_at, a.acted_at,
                   CASE WHEN s.task_state IS NULL THEN m.moved_at
                        ELSE GREATEST(m.moved_at, s.changed_at, COALESCE(a.acted_at, s.changed_at)) END AS since,
                   CASE WHEN m.status NOT LIKE 'running%' AND m.status NOT IN ('migrating', 'post-migrating')
                        THEN $grace
                        WHEN m.source_up IS NULL THEN $stuck ELSE $long END AS allowed
              FROM moved m
              JOIN servers s ON s.uuid = m.instance_uuid AND s.cell = m.cell
              LEFT JOIN acted a ON a.uuid = s.uuid
             WHERE s.changed_at < $idle AND COALESCE(a.acted_at, s.changed_at) < $idle
               AND NOT (m.status = 'finished' AND COALESCE(s.vm_state, '') = 'resized')
        ), judged AS (
            SELECT uuid, cell, project_id, host, vm_state, id, migration_type, status, source_compute, since,
                   CASE WHEN source_up IS NULL THEN source_compute ELSE dest_compute END AS down,
                   CASE WHEN status = 'finished' THEN 'not-resized'
                        WHEN task_state IS NULL AND COALESCE(vm_state, '') NOT IN ('resized', 'building')
                             AND status NOT IN ('confirming', 'reverting') THEN 'abandoned'
                        WHEN source_up IS NULL OR (dest_compute IS NOT NULL AND dest_up IS NULL) THEN 'host-down'
                        ELSE 'host-up' END AS code
              FROM timed
             WHERE since < allowed
        )
        SELECT uuid AS server, cell, project_id AS project, host, vm_state, id AS migration, migration_type AS "type",
               status, source_compute AS source, since, down, code,
               CASE WHEN code = 'not-resized'
                    THEN source_compute || ' still has the old disk and resources of the server. Find out on both hosts'
                         || ' which disk is in use. If it is the new one, set its state back (UPDATE instances SET'
                         || ' vm_state = ''resized'' WHERE uuid = ''' || uuid || ''' AND deleted = 0), then: openstack'
                         || ' server resize confirm ' || uuid
                    WHEN code = 'host-down'
                    THEN 'start nova-compute on ' || down || ', and see whether that ends it. If the host is lost, find'
                         || ' out where guest and disks are (stackmend server where ' || uuid || ') before the server'
                         || ' is started anywhere'
                    WHEN migration_type = 'live-migration'
                    THEN 'see on ' || source_compute || ' whether it still copies (virsh domjobinfo). If it does:'
                         || ' openstack server migration abort ' || uuid || ' ' || id || '. If it does not, restart'
                         || ' nova-compute there'
                    ELSE 'find out on both hosts where its disk is in use, then restart nova-compute on '
                         || source_compute || '; after that, audit again' END AS way
          FROM judged""",
)
