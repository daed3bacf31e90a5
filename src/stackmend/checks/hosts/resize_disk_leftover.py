# SPDX-License-Identifier: Apache-2.0
"""The host of a server still has the directory that only a resize needs.

## What is wrong
Its host has `<server>_resize`, and no resize of the server is in progress or awaits its confirmation. Code `beside`:
the server's own directory is there, too; `used`: a disk of its guest is in it; `only`: the server's own directory is
not there, so that its disks are in this one alone. Rows that a resize has left are found by `resize-leftover`; a
directory on a host where the server is not, by `instance-dir-orphan`.

## Why it matters
`beside`: a second copy of the disks fills the host, and the next resize fails because the name is taken. `only`: the
server cannot be started, and a copy that is taken for a leftover is all there is.

## How it comes about
A resize to the same host whose confirmation failed halfway (bug 1821594); a resize that failed, or was cut off,
between the renaming of the directory and its copy (nova/virt/libvirt/driver.py: migrate_disk_and_power_off).

## How to see it by hand
`ls -l <instances_path>/<server> <instances_path>/<server>_resize` on the host; `virsh --readonly domblklist
<server>`; `openstack server migration list --server <server>`.

## Repair and its risk
By hand, as the disks may be the only ones. Nothing is to be removed while the server awaits its confirmation, and
nothing that a guest has open. `beside`: compare the disks first (`qemu-img info`), then move the directory aside on
the same file system, and keep it until the owner has seen that the server is well. `only`: move it back to its name,
then start the server.
"""

from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import idle

OUTSIDE_CHECK = OutsideCheck(
    name="resize-disk-leftover",
    catalogue="C7",
    severity=Severity.WARNING,
    message="server {server} is {vm_state}, no resize of it is in progress, and {host} has {path}: {code}",
    codes={
        "beside": "a second copy of its disks",
        "used": "its guest has a disk in it",
        "only": "its own directory is not there",
    },
    resource=("server", "server"),
    key=("server",),
    needs=frozenset({"cells"}),
    reads={**idle(), "host_directories": {"uuid": "server"}, "host_disks": {"uuid": "server"}},
    ages={"idle": 3600},
    by_hand="{advice}",
    sql="""
        WITH kept AS (
            SELECT DISTINCT s.uuid, s.cell, s.host, s.vm_state, f.path
              FROM host_directories f
              JOIN idle_servers s ON s.uuid = f.uuid AND s.host = f.host
             WHERE f.role = 'resize' AND s.changed_at < $idle AND s.vm_state NOT IN ('resized', 'soft-delete')),
        judged AS (
            SELECT k.uuid, k.cell, k.host, k.vm_state, k.path,
                   REPLACE(k.path, k.uuid || '_resize', '.stackmend-quarantine') AS parent,
                   CASE WHEN d.uuid IS NOT NULL THEN 'used' WHEN o.uuid IS NULL THEN 'only' ELSE 'beside' END AS code
              FROM kept k
              LEFT JOIN (SELECT DISTINCT host, uuid FROM host_directories WHERE role = '') o
                ON o.host = k.host AND o.uuid = k.uuid
              LEFT JOIN (SELECT DISTINCT host, uuid, source FROM host_disks) d
                ON d.host = k.host AND d.uuid = k.uuid AND CONTAINS(d.source, '/' || k.uuid || '_resize/'))
        SELECT DISTINCT j.uuid AS server, j.cell, j.host, j.vm_state, j.path, j.code,
               CASE j.code
                    WHEN 'used' THEN 'leave ' || j.path || ' on ' || j.host || ' alone: its guest has it open. See how'
                                     || ' the resize ended: openstack server migration list --server ' || j.uuid
                    WHEN 'only' THEN 'see that no other host has the disks of ' || j.uuid || ' (stackmend server where '
                                     || j.uuid || '). If so, on ' || j.host || ': mv -nT ' || j.path || ' '
                                     || REPLACE(j.path, j.uuid || '_resize', j.uuid)
                    ELSE 'compare the disks of both directories on ' || j.host || ' (qemu-img info -U), and see that'
                         || ' virsh domblklist ' || j.uuid || ' names none in ' || j.path || '. Then move it aside, and'
                         || ' keep it until the owner has seen the server: mkdir -p ' || j.parent || '; mv -nT '
                         || j.path || ' ' || j.parent || '/' || j.uuid || '_resize'
                    END AS advice
          FROM judged j""",
)
