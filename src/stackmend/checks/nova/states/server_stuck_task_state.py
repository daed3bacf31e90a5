# SPDX-License-Identifier: Apache-2.0
"""An operation on a server never ended: its task_state is still set.

## What is wrong
`instances.task_state` has been set for longer than the operation may take, and nothing has been recorded of it since:
the row, the server's actions and events, and its migrations are as old. It may take 15 minutes to reboot, power on or
off, pause or unpause; six hours to move, shelve or unshelve a server, or to make an image of it; and two hours for
anything else. The `code` says who could still be working on it:

* `host-down`: nova-compute on the server's host has sent no heartbeat for ten minutes;
* `host-up`: it runs;
* `no-host`: the server has no host. It was being unshelved, for example;
* `build`: the server was being built;
* `move`: it was being migrated, resized or evacuated.

A server in `deleting` or `soft-deleting`, and one whose migration waits in the queue of a nova-compute that runs, are
not meant.

## Why it matters
Nova refuses almost every operation on the server (409, "Cannot ... while it is in task_state ..."). Its guest may run
all the while.

## How it comes about
nova-compute or nova-conductor was stopped in the middle, a message was lost, or an exception was not handled. If the
image of a shelved server is missing, Nova sets the server to ERROR and leaves `unshelving`.

## How to see it by hand
`openstack server show <server> -c OS-EXT-STS:task_state -c updated_at`, `openstack server event list <server>`, and on
the host `virsh domjobinfo <domain>`.

## Repair and its risk
`clear-task-state` clears the task_state if nova-compute on the host is down, or no host has the server, and the
operation is one that leaves neither disk nor guest half-way; a hard reboot then sets up the guest anew. A nova-compute
that only lost its connection may still be working on it, so consent by name is required. While nova-compute runs,
restart it: when it starts, it knows that nothing is in progress. Never reset a server that is being migrated before you
know where its guest is: there may be two copies.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import LAST_SEEN, idle

CHECK = Check(
    name="server-stuck-task-state",
    catalogue="B7",
    severity=Severity.WARNING,
    message="server {server} has been {task_state} since {since}: {code}",
    codes={
        "host-down": "nova-compute on {host} is down",
        "host-up": "nova-compute on {host} runs, but nothing has been recorded since",
        "no-host": "no host has the server",
        "build": "it was never built to the end",
        "move": "it was never moved to the end",
    },
    resource=("server", "server"),
    key=("server",),
    sight=guest(),
    reads={**idle(), "nova_services": {}},
    ages={"quick": 900, "grace": 7200, "long": 21600, "alive": 600},
    lasting=frozenset({"quick", "grace", "long", "alive"}),
    explained_by={
        "migration-stuck": {"server": "server"},
        "server-image-missing": {"server": "server"},
        "server-wrong-host": {"server": "server"},
    },
    by_hand="{way}",
    sql=f"""
        WITH stuck AS (
            SELECT s.uuid, s.cell, s.project_id, s.host, s.vm_state, s.task_state, s.changed_at,
                   CASE WHEN s.task_state LIKE 'image_%' OR s.task_state LIKE 'shelving%'
                             OR s.task_state LIKE 'resize_%' OR s.task_state IN ('unshelving', 'migrating') THEN $long
                        WHEN s.task_state LIKE 'reboot%' OR s.task_state LIKE 'powering-%'
                             OR s.task_state IN ('pausing', 'unpausing') THEN $quick
                        ELSE $grace END AS allowed
              FROM servers s
             WHERE s.task_state IS NOT NULL AND s.task_state NOT IN ('deleting', 'soft-deleting')
               AND COALESCE(s.vm_state, '') <> 'deleted'
        ), {LAST_SEEN}, moving AS (
            SELECT m.cell, m.instance_uuid, MAX(m.id) AS migration, MAX(m.changed_at) AS moved_at,
                   -- an evacuation never waits on its source, which was down when it was asked for
                   MAX(CASE WHEN m.status IN ('queued', 'accepted', 'preparing')
                                 AND COALESCE(m.migration_type, '') <> 'evacuation' THEN b.host END) AS queue
              FROM moves m
              LEFT JOIN beating b ON b.cell = m.cell AND b.host = m.source_compute
             WHERE m.instance_uuid IS NOT NULL
             GROUP BY m.cell, m.instance_uuid
        ), judged AS (
            SELECT s.uuid, s.cell, s.project_id, s.host, s.vm_state, s.task_state, m.migration,
                   GREATEST(s.changed_at, COALESCE(m.moved_at, s.changed_at),
                            COALESCE(a.acted_at, s.changed_at)) AS since, s.allowed,
                   CASE WHEN m.migration IS NOT NULL OR s.task_state = 'migrating' OR s.task_state LIKE 'resize_%'
                        THEN 'move'
                        WHEN s.vm_state = 'building' THEN 'build'
                        WHEN s.host IS NULL THEN 'no-host'
                        WHEN b.host IS NULL THEN 'host-down' ELSE 'host-up' END AS code
              FROM stuck s
              LEFT JOIN moving m ON m.instance_uuid = s.uuid AND m.cell = s.cell
              LEFT JOIN acted a ON a.uuid = s.uuid
              LEFT JOIN beating b ON b.cell = s.cell AND b.host = s.host
             WHERE s.changed_at < s.allowed AND m.queue IS NULL
        )
        SELECT j.uuid AS server, j.cell, j.project_id AS project, j.host, j.vm_state, j.task_state, j.since,
               j.migration, j.code,
               CASE WHEN j.code = 'move'
                    THEN 'find out where its guest and its disks are (stackmend server where ' || j.uuid || '; virsh'
                         || ' list --all --uuid and virsh domjobinfo on the hosts of openstack server migration list'
                         || ' --server ' || j.uuid || ') before you reset its state or reboot it'
                    WHEN j.code = 'build'
                    THEN 'openstack server delete ' || j.uuid || ', and let its owner build it again'
                    WHEN j.vm_state = 'error'
                    THEN 'if nothing works on it any more: openstack server set --state error ' || j.uuid
                         || ', which only clears the task_state'
                    WHEN j.code = 'host-down'
                    THEN 'start nova-compute on ' || j.host || ', and see whether it settles the server. If not:'
                         || ' openstack server set --state active ' || j.uuid || ', then openstack server reboot'
                         || ' --hard ' || j.uuid
                    ELSE 'restart nova-compute on ' || COALESCE(j.host, 'its host') || ', which ends most operations'
                         || ' that were cut off. If it is still set: openstack server set --state active ' || j.uuid
                         || ', then openstack server reboot --hard ' || j.uuid END AS way
          FROM judged j
         WHERE j.since < j.allowed""",
)
