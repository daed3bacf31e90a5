# SPDX-License-Identifier: Apache-2.0
"""A share was never attached to a server, or never detached from it.

## What is wrong
A row in `share_mapping` of a live, idle server has been `attaching` or `detaching` for an hour, or `error` (the
`code`). Shares of deleted servers are part of `server-deleted-incompletely`.

## Why it matters
Nova refuses to evacuate, rebuild, shelve or suspend a server that has a share, whatever its status; before 2026.2 also
to migrate or resize it. With `error` the server does not start.

## How it comes about
nova-compute was stopped while it mounted or unmounted the share, the export could not be reached, or Manila refused
the access rule.

## How to see it by hand
`SELECT share_id, status, updated_at FROM share_mapping WHERE instance_uuid = '<server>';`, `openstack share access list
<share>`, and `mount` on the server's host.

## Repair and its risk
None is planned, because only the host shows whether the share is mounted, and a guest that runs on it would lose its
data. With the server stopped, or in ERROR, Nova itself detaches a share in any status: `DELETE
/servers/<server>/shares/<share>`, microversion 2.97. That needs nova-compute on its host.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="share-mapping-stuck",
    catalogue="B16",
    severity=Severity.WARNING,
    message="share {share} of server {server} ({vm_state}, on {host}): {code} since {since}",
    codes={
        "attaching": "it has been attached",
        "detaching": "it has been detached",
        "error": "it could not be mounted or unmounted",
    },
    resource=("server", "server"),
    key=("server", "share"),
    reads={**idle(), "nova_unsettled_shares": {"instance_uuid": "server"}},
    ages={"idle": 600, "grace": 3600},
    lasting=frozenset({"grace"}),
    by_hand=(
        "make sure that server {server} is stopped (openstack server stop {server}) and that nova-compute on {host}"
        " runs, then let Nova detach the share: DELETE /servers/{server}/shares/{share} with microversion 2.97. Attach"
        " it again if it is needed"
    ),
    sql="""
        SELECT s.uuid AS server, s.cell, s.project_id AS project, s.host, s.vm_state, h.share_id AS share,
               COALESCE(h.updated_at, h.created_at) AS since,
               CASE WHEN h.status = 'attaching' THEN 'attaching'
                    WHEN h.status = 'detaching' THEN 'detaching' ELSE 'error' END AS code
          FROM nova_unsettled_shares h
          JOIN idle_servers s ON s.uuid = h.instance_uuid AND s.cell = h.cell
         WHERE s.changed_at < $idle AND COALESCE(h.updated_at, h.created_at) < $grace""",
)
