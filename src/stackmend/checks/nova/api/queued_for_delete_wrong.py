# SPDX-License-Identifier: Apache-2.0
"""The API database says of a server that it is being deleted although it is not, or the other way round.

## What is wrong
`nova_api.instance_mappings.queued_for_delete` is set for a live server (code `live`), or is not set for a soft-deleted
one (`soft-deleted`). A server that is deleted and whose mapping is not queued for deletion is a finding of
`server-deleted-incompletely`.

## Why it matters
Where usage is counted from mappings (`[quota] count_usage_from_placement`, or unified limits) a live server is not
counted and a soft-deleted one is. While a cell is down, Nova lists only servers that are not queued for deletion: this
one is missing from the list, or appears although it was deleted.

## How it comes about
A deletion failed after the API had set the flag (bug 1814913), a soft-deleted server was restored or a server revived
by SQL, or the database was restored from an older dump.

## How to see it by hand
`SELECT queued_for_delete FROM instance_mappings WHERE instance_uuid = '<server>';` in nova_api beside `SELECT deleted,
vm_state, task_state FROM instances WHERE uuid = '<server>';`

## Repair and its risk
`correct-queued-for-delete` sets the flag as the server's row implies. Nothing is lost. The value NULL, which releases
before Rocky left, is not reported: `nova-manage db online_data_migrations` fills it.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="queued-for-delete-wrong",
    catalogue="C3",
    severity=Severity.WARNING,
    message="the mapping of server {server} ({vm_state}): {code}",
    codes={
        "live": "it is queued for deletion, but nobody is deleting the server",
        "soft-deleted": "it is not queued for deletion, but the server is soft-deleted",
    },
    resource=("server", "server"),
    key=("server",),
    needs=frozenset({"nova_api"}),
    reads={**idle(), "nova_api_instance_mappings": {"instance_uuid": "server"}},
    ages={"idle": 600},
    sql="""
        SELECT s.uuid AS server, s.cell, s.vm_state, m.id AS mapping,
               CASE WHEN s.vm_state = 'soft-delete' THEN 'soft-deleted' ELSE 'live' END AS code
          FROM idle_servers s
          JOIN nova_api_instance_mappings m ON m.instance_uuid = s.uuid
         WHERE s.changed_at < $idle AND COALESCE(s.vm_state, '') <> 'deleted'
           AND m.queued_for_delete = (COALESCE(s.vm_state, '') <> 'soft-delete')""",
)
