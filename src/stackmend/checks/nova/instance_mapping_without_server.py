# SPDX-License-Identifier: Apache-2.0
"""`nova_api` maps a server to a cell that has no row of it, not even a deleted one.

## What is wrong
`nova_api.instance_mappings` points to a cell in which `instances` has no row with that uuid, and the mapping is not
queued for deletion: nobody asked Nova to delete the server. No other cell and no build request has a row either.

## Why it matters
The API answers 404 for the server and does not list it, while its guest may still run and still use its ports, volumes
and allocations. Removing these as leftovers would destroy the server, so no other check reports them as orphans while
the mapping exists.

## How it comes about
A row deleted by hand, a cell's database restored from an older dump, or a server archived by a release that left the
mapping behind (Nova bugs 1773945 and 1784074). If the cell lacks most of the servers mapped to it, the audit does not
list servers but doubts the cell as a whole: its cell mapping then points to a wrong database.

## How to see it by hand
`nova-manage cell_v2 verify_instance --uuid <server>` (exit code 4), `openstack port list --device-id <server>`,
`openstack resource provider allocation show <server>`, and look for the domain on the hosts with `virsh domuuid`.

## Repair and its risk
None by itself: only somebody who knows whether the guest still runs can decide. If it does, the row must be restored
from a backup of the cell. If the server is deleted for good, `nova-manage` has no command for it either: delete its
`request_specs` and `instance_group_member` rows, then its `instance_mappings` row; the next audit then shows what is
left of it elsewhere. Deleting the mapping of a live server makes it invisible and its resources orphans.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER, existence

CHECK = Check(
    name="instance-mapping-without-server",
    catalogue="C1",
    severity=Severity.ERROR,
    message="nova_api maps server {server} to {cell}, which has no row of it although nobody deleted it",
    resource=("server", "server"),
    key=("server",),
    needs=EVERY_SERVER,
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={**existence(), "nova_api_cell_mappings": {}},
    ages={"grace": 3600},
    # releases before Rocky left queued_for_delete NULL: nothing is concluded from that
    sql="""
        SELECT m.instance_uuid AS server, c.cell, m.project_id AS project, m.created_at AS mapped_at
          FROM nova_api_instance_mappings m
          JOIN cells c ON c.id = m.cell_id
          LEFT JOIN (SELECT DISTINCT uuid FROM nova_instances) i ON i.uuid = m.instance_uuid
          LEFT JOIN (SELECT DISTINCT instance_uuid FROM nova_api_build_requests) b
            ON b.instance_uuid = m.instance_uuid
         WHERE i.uuid IS NULL AND b.instance_uuid IS NULL AND NOT m.queued_for_delete AND m.created_at < $grace""",
)
