# SPDX-License-Identifier: Apache-2.0
"""Nova has a server on a host, and the hypervisor there has no domain of it.

## What is wrong
The server's row is live, nothing is being done with it, and its host was read completely: no domain there has its UUID,
neither one that runs nor one that is only defined. Code `elsewhere`: another hypervisor has it; `absent`: none of those
that were read has.

## Why it matters
The server is ACTIVE in every list and dead for its owner. If it runs elsewhere, every operation goes to the wrong host,
and a deletion leaves the guest behind.

## How it comes about
`virsh destroy` and `undefine` by hand, the state of libvirt lost with a host's root disk, a hard reboot that failed
after it had undefined the domain; `elsewhere`: a migration that failed after the guest had moved, or `virsh migrate`.

## How to see it by hand
`virsh --readonly list --all --uuid | grep <server>` on its host, then on the others; `stackmend server where <server>`
shows what every other record says; `openstack server migration list --server <server>`.

## Repair and its risk
By hand, because only its owner can say what is to become of it, and because both ways can lose a disk. `absent` is
proved only if every hypervisor was read (`--hosts` without names, and none that failed): a guest that runs on another
would be a second one on the same disks. Then look whether its disks are there: `<instances_path>/<server>/` on the
host, or `rbd info <pool>/<server>_disk`. If they are, `openstack server reboot --hard <server>` defines it again from
Nova's records. If nothing is left, `openstack server delete <server>` frees ports, volumes, allocation and quota: Nova
tolerates that the domain is gone. Never delete its row by SQL: that frees none of it. For `elsewhere`: never start a
second one; correct the host with `stackmend server set-host`, which asks for every other record first. If the other one
does not run, it may be an old leftover: see first which of the hosts has its disks.
"""

from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import idle

OUTSIDE_CHECK = OutsideCheck(
    name="server-active-domain-missing",
    catalogue="B1",
    severity=Severity.ERROR,
    message="server {server} is {vm_state} on {host}, and that hypervisor has no domain of it: {code}",
    codes={
        "elsewhere": "{other} has it, {state}",
        "absent": "nor has any other that was read",
    },
    resource=("server", "server"),
    key=("server",),
    reads={
        **idle(),
        "host_visits": {"host": "nova_instances.host"},
        "host_domains": {"uuid": "server"},
    },
    ages={"idle": 900},
    explained_by={"server-wrong-host": {"server": "server"}, "server-on-nonexistent-host": {"server": "server"}},
    by_hand="{advice}",
    sql="""
        WITH lost AS (
            SELECT s.uuid, s.cell, s.host, s.vm_state
              FROM idle_servers s
              JOIN (SELECT DISTINCT host FROM host_visits) v ON v.host = s.host
              LEFT JOIN host_domains d ON d.uuid = s.uuid AND d.host = s.host
             WHERE d.uuid IS NULL AND NOT s.in_cell0 AND s.changed_at < $idle
               AND (s.vm_state IN ('active', 'paused', 'suspended', 'stopped', 'rescued', 'shelved')
                    OR (s.vm_state = 'error' AND s.launched_at IS NOT NULL))),
        others AS (
            SELECT d.uuid, MIN(d.host) AS host, MIN(d.state) AS state, COUNT(*) AS many,
                   MAX(CASE WHEN d.runs THEN 1 ELSE 0 END) AS runs
              FROM host_domains d JOIN lost l ON l.uuid = d.uuid
             GROUP BY d.uuid)
        SELECT DISTINCT l.uuid AS server, l.cell, l.host, l.vm_state, o.host AS other, o.state,
               CASE WHEN o.host IS NULL THEN 'absent' ELSE 'elsewhere' END AS code,
               CASE WHEN o.host IS NULL
                    THEN 'see that every other hypervisor was read and has none of it (stackmend audit --hosts), and'
                         || ' whether its disks are there. If so: openstack server reboot --hard ' || l.uuid
                         || '; if nothing is left of it, and its owner agrees: openstack server delete ' || l.uuid
                    WHEN o.many > 1
                    THEN 'several other hypervisors have it: stackmend server where ' || l.uuid
                    WHEN o.runs = 0
                    THEN 'start it nowhere before you know which of ' || l.host || ' and ' || o.host || ' has its disks'
                         || ' (stackmend server where ' || l.uuid || '). If it is ' || o.host || ': stackmend server'
                         || ' set-host ' || l.uuid || ' --host ' || o.host || ' --allow-db'
                    ELSE 'do not start it on ' || l.host || '. Correct the record: stackmend server set-host ' || l.uuid
                         || ' --host ' || o.host || ' --allow-db' END AS advice
          FROM lost l LEFT JOIN others o ON o.uuid = l.uuid""",
)
