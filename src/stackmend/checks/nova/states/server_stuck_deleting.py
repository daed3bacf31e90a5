# SPDX-License-Identifier: Apache-2.0
"""The deletion of a server never ended.

## What is wrong
The server is `deleting` or `soft-deleting`, and nothing has been recorded of it for half an hour; or its vm_state is
`deleted`, and ten minutes later its row is still not marked deleted. The `code` says who could still be deleting it:

* `host-up`: nova-compute on its host runs;
* `host-down`: it has sent no heartbeat for ten minutes;
* `no-host`: the server has no host, so Nova's API was deleting it;
* `unmarked`: the guest, its ports and volumes are gone, but the row is not marked deleted.

## Why it matters
The owner cannot delete the server: while nova-compute runs, Nova ignores every further request ("Instance is already in
deleting state, ignoring this request"). It counts against the quota, and keeps its addresses and volumes.

## How it comes about
nova-compute was stopped in the middle or hangs (a volume that cannot be detached, an unreachable storage), or the
message was lost.

## How to see it by hand
`openstack server show <server> -c OS-EXT-STS:task_state -c OS-EXT-STS:vm_state -c updated_at`, `openstack server event
list <server>`; on the host, `virsh list --all --uuid` and the log of nova-compute.

## Repair and its risk
None is planned: what would be repaired is a deletion. Ask what it hangs on first: usually a volume or the network, and
it hangs there again. `stackmend server mark-deleted <server> --via api` resets the state and deletes the server once
more; if its host is down, Nova then deletes it without the host. Do not force a host down whose guests run in order to
get there: the guest runs on, on disks that may be given to others.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Obstacle, Severity
from stackmend.tables.views import LAST_SEEN

CHECK = Check(
    name="server-stuck-deleting",
    catalogue="B3",
    severity=Severity.WARNING,
    message="server {server} has been {state} since {since}: {code}",
    codes={
        "host-up": "nova-compute on {host} runs, but nothing has been recorded since",
        "host-down": "nova-compute on {host} is down",
        "no-host": "it has no host",
        "unmarked": "its row was never marked deleted",
    },
    resource=("server", "server"),
    key=("server",),
    sight=guest(),
    reads={
        "nova_instances": {"uuid": "server"},
        "nova_instance_actions": {"instance_uuid": "server"},
        "nova_instance_actions_events": {"action_id": "nova_instance_actions.id"},
        "nova_services": {},
    },
    obstacles=(
        Obstacle(
            codes=frozenset({"host-up", "host-down", "unmarked"}),
            what="the upgrade restarts nova-compute, which then goes on with the deletion, unless it is soft-deleting",
            source="nova/compute/manager.py, _init_instance",
            blocks=False,
        ),
    ),
    ages={"idle": 600, "grace": 1800, "alive": 600},
    lasting=frozenset({"idle", "grace", "alive"}),
    by_hand="{way}",
    sql=f"""
        WITH stuck AS (
            SELECT uuid, cell, project_id, host, changed_at, COALESCE(vm_state, '') = 'deleted' AS done,
                   CASE WHEN vm_state = 'deleted' THEN 'deleted' ELSE task_state END AS state,
                   CASE WHEN vm_state = 'deleted' THEN $idle ELSE $grace END AS allowed
              FROM servers
             WHERE task_state IN ('deleting', 'soft-deleting') OR vm_state = 'deleted'
        ), {LAST_SEEN}, judged AS (
            SELECT s.uuid, s.cell, s.project_id, s.host, s.state, s.allowed,
                   GREATEST(s.changed_at, COALESCE(a.acted_at, s.changed_at)) AS since,
                   CASE WHEN s.done THEN 'unmarked'
                        WHEN s.host IS NULL THEN 'no-host'
                        WHEN b.host IS NULL THEN 'host-down' ELSE 'host-up' END AS code
              FROM stuck s
              LEFT JOIN acted a ON a.uuid = s.uuid
              LEFT JOIN beating b ON b.cell = s.cell AND b.host = s.host
             WHERE s.changed_at < s.allowed
        )
        SELECT uuid AS server, cell, project_id AS project, host, state, since, code,
               CASE WHEN code = 'host-up'
                    THEN 'the log of nova-compute on ' || host || ' says what the deletion hangs on, usually a volume'
                         || ' or the network. Mend that, then restart nova-compute there, which resumes it; or:'
                         || ' stackmend server mark-deleted ' || uuid || ' --via api'
                    WHEN code = 'host-down'
                    THEN 'start nova-compute on ' || host || ', which resumes the deletion. If the host is lost:'
                         || ' openstack server delete ' || uuid || ', which Nova then does without the host'
                    WHEN code = 'no-host' THEN 'openstack server delete ' || uuid
                    ELSE 'restart nova-compute on ' || COALESCE(host, 'its host') || ', which completes it; or:'
                         || ' stackmend server mark-deleted ' || uuid || ' --via api' END AS way
          FROM judged
         WHERE since < allowed""",
)
