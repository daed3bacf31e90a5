# SPDX-License-Identifier: Apache-2.0
"""A live server has no network cache row, or one that is marked deleted.

## What is wrong
`instance_info_caches` has no row for a live server, or its row has `deleted <> 0` or a NULL in `deleted`: Nova selects
`deleted = 0` and finds neither.

## Why it matters
As with an empty cache: no NIC after a hard reboot, ports lost with the server. A row marked deleted is worse: every
attempt by Nova to save the cache raises InstanceInfoCacheNotFound, and it never heals.

## How it comes about
An interrupted delete, SQL by hand, or a purge script that ran halfway.

## How to see it by hand
`SELECT id, deleted FROM instance_info_caches WHERE instance_uuid = '<server>';`

## Repair and its risk
The row is inserted, or revived (the key is unique, so a server can never have a second row), with the document rebuilt
from Neutron. The flags of the customer's ports are kept if the old document still has them, and otherwise deduced.
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
