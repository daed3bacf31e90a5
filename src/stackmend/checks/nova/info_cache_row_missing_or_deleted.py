# SPDX-License-Identifier: Apache-2.0
"""A live server has no network cache row, or one that is marked deleted.

## What is wrong
`instance_info_caches` has no row for a live server, or its row has `deleted <> 0`, or a `deleted` that is NULL: Nova
asks for `deleted = 0` and sees neither.

## Why it matters
As with an empty cache: no NIC after a hard reboot, ports lost at delete. A row marked deleted is worse: every attempt
of Nova to save the cache raises InstanceInfoCacheNotFound, and it never heals.

## How it comes about
An interrupted delete, SQL by hand, half of a purge script.

## How to see it by hand
`SELECT id, deleted FROM instance_info_caches WHERE instance_uuid = '<server>';`

## Repair and its risk
The row is inserted, or revived (there may be one row a server for ever, the key is unique), with the document rebuilt
from Neutron. Which ports are the customer's is kept where the old document still says it, else deduced.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="info-cache-row-missing-or-deleted",
    catalogue="A2",
    severity=Severity.ERROR,
    message="the network cache row of server {server} is {code}",
    codes={
        "missing": "missing",
        "marked deleted": "marked deleted",
        "neither live nor deleted": "marked neither live nor deleted",
    },
    resource=("server", "server"),
    key=("server",),
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={**idle(), "nova_instance_info_caches": {"instance_uuid": "server"}},
    ages={"idle": 600},
    explained_by={"server-half-purged": {"server": "server"}},
    sql="""
        SELECT s.uuid AS server, s.cell, s.host, s.vm_state,
               CASE WHEN c.id IS NULL THEN 'missing' WHEN c.deleted IS NULL THEN 'neither live nor deleted'
                    ELSE 'marked deleted' END AS code
          FROM idle_servers s
          LEFT JOIN nova_instance_info_caches c ON c.instance_uuid = s.uuid AND c.cell = s.cell
         WHERE (c.id IS NULL OR COALESCE(c.deleted, TRUE)) AND s.vm_state <> 'deleted' AND NOT s.in_cell0
           AND s.changed_at < $idle""",
)
