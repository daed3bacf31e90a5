# SPDX-License-Identifier: Apache-2.0
"""A live server has no request spec.

## What is wrong
`nova_api.request_specs` has no row of a server that is live in a cell. Servers in cell0 are left out: they were never
scheduled.

## Why it matters
The request spec says what the scheduler has to look for. Without it the server can be neither migrated nor evacuated,
unshelved or resized: each request ends with RequestSpecNotFound. Nothing shows that until the day when its host fails.

## How it comes about
`nova_api` was restored from an older dump, a purge by SQL stopped halfway, or archiving deleted the spec of a copy of
the server in another cell.

## How to see it by hand
`SELECT COUNT(*) FROM request_specs WHERE instance_uuid = '<server>';` in nova_api.

## Repair and its risk
`restore-request-spec` inserts a new one with the server's flavor, project, user, image and server group. Scheduler
hints and an availability zone that the owner once asked for are not recorded anywhere else and are not restored, so it
needs consent by name: a later move may take the server out of that zone. Refused for servers whose placement depends
on more than that: NUMA topologies, PCI devices, and image properties that bind the server to certain hosts.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="request-spec-missing",
    catalogue="C5",
    severity=Severity.ERROR,
    message="server {server} on host {host} has no request spec: it can be neither moved nor unshelved",
    resource=("server", "server"),
    key=("server",),
    needs=frozenset({"nova_api"}),
    hinders=frozenset({"move", "rebuild"}),
    reads={
        "nova_instances": {"uuid": "server"},
        "nova_api_request_specs": {"instance_uuid": "server"},
    },
    ages={"idle": 600},
    sql="""
        SELECT s.uuid AS server, s.cell, COALESCE(s.host, '-') AS host, s.vm_state
          FROM servers s
          LEFT JOIN nova_api_request_specs r ON r.instance_uuid = s.uuid
         WHERE r.instance_uuid IS NULL AND NOT s.in_cell0 AND s.created_at < $idle
           AND COALESCE(s.vm_state, '') <> 'deleted'""",
)
