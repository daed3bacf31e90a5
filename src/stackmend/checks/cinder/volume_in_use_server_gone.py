# SPDX-License-Identifier: Apache-2.0
"""A volume is attached to a server that no longer exists.

## What is wrong
Cinder has an attachment for a server that is live in no cell and in no build request. The `code` says whether the
server is known to be deleted (`deleted-server`) or unknown (`unknown-server`: archived and purged long ago, or never a
Nova server). If there are several, an unknown one is named.

## Why it matters
The volume never becomes available again, and its owner can neither use nor delete it.

## How it comes about
The server was deleted while its compute host was down and Cinder did not answer ("Ignoring volume cleanup failure"), or
it was deleted by SQL.

## How to see it by hand
`openstack --os-volume-api-version 3.27 volume attachment list --volume-id <volume>` names a server for which `openstack
server show` answers "No server". On the host in the attachment, `virsh list --all` must not show it.

## Repair and its risk
`detach-volume` detaches as Cinder does; through the API it sends `DELETE /v3/attachments/<id>`, which is allowed
because Nova reports no such server. If the guest still runs although its rows are marked deleted, the volume looks free
while the guest writes to it: check the host first. A volume that should have been deleted with its server is kept: its
owner decides. Attachments to hosts (without a server) are left alone.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER, LOST, MARKED, existence

CHECK = Check(
    name="volume-in-use-server-gone",
    catalogue="H6",
    severity=Severity.ERROR,
    message="volume {volume} is attached to {servers} server(s) that no longer exist, for example {server}, {code}",
    codes={
        "deleted-server": "which is deleted",
        "unknown-server": "which no cell knows",
    },
    resource=("volume", "volume"),
    key=("volume",),
    sight=disk("host"),
    needs=EVERY_SERVER | {"cinder"},
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume"},
        **existence("cinder_volume_attachment.instance_uuid"),
    },
    untold={"unknown-server": LOST.format("{server}"), "deleted-server": MARKED.format("{server}")},
    ages={"grace": 1800},
    # first decide whether the server should be deleted at all: its guest may be alive
    explained_by={"server-deleted-incompletely": {"server": "server"}},
    sql="""
        SELECT a.volume_id AS volume,
               COALESCE(MIN(CASE WHEN d.uuid IS NULL THEN a.instance_uuid END), MIN(a.instance_uuid)) AS server,
               COUNT(DISTINCT a.instance_uuid) AS servers,
               CASE WHEN COUNT(*) > COUNT(d.uuid) THEN 'unknown-server' ELSE 'deleted-server' END AS code,
               MIN(v.project_id) AS project, MIN(v.status) AS status, MIN(a.attached_host) AS host
          FROM cinder_volume_attachment a
          JOIN cinder_volumes v ON v.id = a.volume_id
          LEFT JOIN existing_servers e ON e.uuid = a.instance_uuid
          LEFT JOIN deleted_servers d ON d.uuid = a.instance_uuid
         WHERE e.uuid IS NULL AND a.instance_uuid IS NOT NULL AND NOT a.deleted AND NOT v.deleted
           AND COALESCE(v.migration_status, 'success') IN ('success', 'error')
           AND COALESCE(a.updated_at, a.created_at) < $grace
         GROUP BY a.volume_id""",
)
