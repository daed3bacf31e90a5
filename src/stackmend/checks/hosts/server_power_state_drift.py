# SPDX-License-Identifier: Apache-2.0
"""What a server is in Nova contradicts what its domain is doing.

## What is wrong
The domain of the server is where Nova says, and nowhere else. Code `off`: the server is active, its domain is shut off
or has crashed; `on`: it is stopped or suspended, its domain runs; `paused`: it is active, its domain is paused, and not
for a migration; `running`: it is paused, its domain runs.

## Why it matters
`off`: users see a running server that is down. Nova itself *stops* such a server when it notices, so after a restart of
a host the record of what ran before is lost. `on`: a server that its owner believes to be off writes to its volumes.
`paused`: it hangs, often on a full or broken disk.

## How it comes about
Somebody used `virsh`, a guest shut itself down or panicked, the host was restarted, or the synchronisation is switched
off (`sync_power_state_interval`). `paused`: QEMU could not write (`reason` says I/O error), a copy of the disk was
made, or somebody inspects it.

## How to see it by hand
`virsh --readonly domstate --reason <server>` on the host beside `openstack server show <server> -c status -c
OS-EXT-STS:power_state`.

## Repair and its risk
Nova looks every ten minutes and stops what is active and off, and what is stopped and on; it never mends the others. So
a first audit only notes a finding, and one that sees it still there after twenty minutes reports it (age `seen`;
`--include-young` shows it at once). By hand, as only the owner knows what is right. `off`: `openstack server stop`
makes the record true, `openstack server reboot --hard` starts it. `on`: Nova refuses to stop a stopped server, and a
start would end the guest that runs, so `openstack server set --state active` comes first. `paused`: find out why before
`virsh resume`; Nova refuses to unpause an active server. `running`: `openstack server set --state active`, because
`unpause` fails on a guest that runs. Never start a server whose disk another guest, a copy or an inspection has open.
"""

from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import idle

OUTSIDE_CHECK = OutsideCheck(
    name="server-power-state-drift",
    catalogue="B2",
    severity=Severity.WARNING,
    message="server {server} is {vm_state}, and its domain on {host} is {shown}: {code}",
    codes={
        "off": "the server is down, and Nova does not say so",
        "on": "it runs although it should not",
        "paused": "it hangs",
        "running": "it was resumed behind Nova's back",
    },
    resource=("server", "server"),
    key=("server",),
    reads={**idle(), "host_domains": {"uuid": "server"}},
    ages={"idle": 1200, "seen": 1200},
    explained_by={"inspection-left-behind": {"server": "server"}, "server-wrong-host": {"server": "server"}},
    by_hand="{advice}",
    sql="""
        WITH alone AS (
            SELECT uuid, MIN(host) AS host, MIN(state) AS state, MIN(reason) AS reason
              FROM host_domains GROUP BY uuid HAVING COUNT(*) = 1),
        judged AS (
            SELECT s.uuid, s.cell, s.host, s.vm_state,
                   CASE WHEN a.reason <> '' THEN a.state || ' (' || a.reason || ')' ELSE a.state END AS shown,
                   CASE WHEN s.vm_state = 'active' AND a.state IN ('shutoff', 'crashed') THEN 'off'
                        WHEN s.vm_state IN ('stopped', 'suspended') AND a.state IN ('running', 'blocked') THEN 'on'
                        WHEN s.vm_state = 'active' AND a.state = 'paused'
                             AND a.reason NOT IN ('migration', 'post-copy', 'starting up', 'creating snapshot',
                                              'save', 'dump')
                        THEN 'paused'
                        WHEN s.vm_state = 'paused' AND a.state IN ('running', 'blocked') THEN 'running' END AS code
              FROM alone a
              JOIN idle_servers s ON s.uuid = a.uuid AND s.host = a.host
             WHERE s.changed_at < $idle AND NOT s.in_cell0)
        SELECT DISTINCT j.uuid AS server, j.cell, j.host, j.vm_state, j.shown, j.code,
               CASE j.code
                    WHEN 'off' THEN 'if its owner wants it off: openstack server stop ' || j.uuid
                                    || '; to start it: openstack server reboot --hard ' || j.uuid
                    WHEN 'on' THEN 'make the record true: openstack server set --state active ' || j.uuid
                                   || '; if its owner wants it off, then: openstack server stop ' || j.uuid
                    WHEN 'paused' THEN 'see why: virsh domstate --reason ' || j.uuid || ' and virsh domblkerror '
                                       || j.uuid || ' on ' || j.host || '; then, there: virsh resume ' || j.uuid
                    ELSE 'make the record true: openstack server set --state active ' || j.uuid END AS advice
          FROM judged j
         WHERE j.code IS NOT NULL""",
)
