# SPDX-License-Identifier: Apache-2.0
"""A server is locked by an inspection of its disks that was begun long ago and never released.

## What is wrong
The reason of a server's lock in Nova shows that `stackmend disk inspect` locked it, and the lock is more than a day
old. The reason says who approved the inspection, under which ticket, and in which state the server was before. It is
the only evidence, because the journal of whoever began the inspection may be on another machine or lost.

## Why it matters
The owner can neither start, stop, move nor delete the server. If it is inspected offline, it stays off; if it is in
rescue, another system runs in its place.

## How it comes about
The inspection was forgotten, or whoever began it was interrupted. `disk inspect` locks the server first, so that such
leftovers can be found.

## How to see it by hand
`stackmend disk list`; `openstack --os-compute-api-version 2.73 server list --all-projects --locked --long`, or
`SELECT instance_uuid, value, created_at FROM instance_system_metadata WHERE deleted = 0 AND ``key`` = 'locked_reason';`

## Repair and its risk
By hand, because only whoever inspects the server knows whether the inspection is over.
`stackmend disk release <server>` shows what it would do, and does it with `--yes`. Afterwards the server is as it was
before: started if it was running, out of rescue, and unlocked. A libvirt backup that the inspection left on the host is
ended; the backups of others are not touched.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="inspection-left-behind",
    catalogue="G2",
    severity=Severity.WARNING,
    message="server {server} on {host} ({vm_state}) has been locked since {since} UTC: {reason}",
    resource=("server", "server"),
    key=("server",),
    by_hand="ask who approved it whether it is over; then 'stackmend disk release {server}'",
    reads={"nova_instances": {"uuid": "server"}, "nova_inspections": {"instance_uuid": "server"}},
    ages={"begun": 86400},
    settle=False,
    sql="""
        SELECT s.uuid AS server, s.cell, s.host, s.vm_state, i.reason,
               CAST(COALESCE(i.updated_at, i.created_at) AS VARCHAR) AS since
          FROM nova_inspections i
          JOIN nova_instances s ON s.uuid = i.instance_uuid AND s.cell = i.cell
         WHERE NOT s.deleted AND COALESCE(i.updated_at, i.created_at) < $begun""",
)
