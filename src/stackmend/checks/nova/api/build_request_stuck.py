# SPDX-License-Identifier: Apache-2.0
"""A build request was left behind.

## What is wrong
`nova_api.build_requests` has a row that is older than an hour. The server is in a cell (code `server-exists`), or in
none (`never-scheduled`).

## Why it matters
`never-scheduled`: the server stays in BUILD for ever, and holds quota, ports and volumes. `server-exists`: the API
shows the request instead of the server, so the server appears to be in BUILD.

## How it comes about
The conductor, the scheduler or the message queue failed at the moment of the build (bugs 1633734 and 1661024).

## How to see it by hand
`openstack server show <server>` (status BUILD, task state scheduling), and `SELECT created_at FROM build_requests WHERE
instance_uuid = '<server>';` in nova_api.

## Repair and its risk
If the server is in the cell that its mapping names, `drop-build-request` deletes the request. A server that no cell has
is deleted by its owner or an administrator: `openstack server delete <server>` deletes the request, too. First make
sure that the scheduler is not merely slow.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER

CHECK = Check(
    name="build-request-stuck",
    catalogue="C4",
    severity=Severity.WARNING,
    message="the build request of server {server} is from {requested}: {code}",
    codes={
        "server-exists": "the server is in {cell}",
        "never-scheduled": "no cell has the server",
    },
    resource=("server", "server"),
    key=("server",),
    needs=EVERY_SERVER,
    reads={
        "nova_api_build_requests": {"instance_uuid": "server"},
        "nova_instances": {"uuid": "server"},
    },
    ages={"grace": 3600},
    lasting=frozenset({"grace"}),
    by_hand="if the scheduler is not merely slow, delete the server: openstack server delete {server}",
    sql="""
        SELECT b.instance_uuid AS server, MIN(b.project_id) AS project, MIN(CAST(b.created_at AS VARCHAR)) AS requested,
               COALESCE(MIN(i.cell), '') AS cell,
               CASE WHEN MIN(i.cell) IS NULL THEN 'never-scheduled' ELSE 'server-exists' END AS code
          FROM nova_api_build_requests b
          LEFT JOIN nova_instances i ON i.uuid = b.instance_uuid
         WHERE b.created_at < $grace
         GROUP BY b.instance_uuid""",
)
