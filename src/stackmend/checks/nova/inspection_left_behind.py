# SPDX-License-Identifier: Apache-2.0
"""A server is locked by an inspection of its disks that was begun long ago and never released.

## What is wrong
Nova keeps the reason of a lock that `stackmend disk inspect` has made, and the server was locked more than a day ago.
The reason says who approved it, with which ticket, and what the server did before; it is the whole evidence, for the
journal of whoever began it may be on another machine, or lost.

## Why it matters
The owner can neither start, stop, move nor delete the server. Inspected offline it stays off; in rescue another system
runs in its place.

## How it comes about
The inspection was forgotten, or whoever began it was cut off: `disk inspect` locks first, so that this shows.

## How to see it by hand
`stackmend disk list`; `openstack --os-compute-api-version 2.73 server list --all-projects --locked --long`, or
`SELECT instance_uuid, value, created_at FROM instance_system_metadata WHERE deleted = 0 AND ``key`` = 'locked_reason';`

## Repair and its risk
By hand, since only who inspects knows whether it is over: `stackmend disk release <server>` shows what it would do, and
does it with `--yes`. The server is as it was before: started if it ran, out of rescue, unlocked. A backup of libvirt
that was left on its host is ended; backups of others are not touched.
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
