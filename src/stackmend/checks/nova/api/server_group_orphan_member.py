# SPDX-License-Identifier: Apache-2.0
"""A server group has a member that does not exist, or has one twice.

## What is wrong
`nova_api.instance_group_member` has a row of a server that no cell has, not even as a deleted one (code `unknown`), or
several rows of one server in one group (`duplicate`): the table has no unique key.

## Why it matters
Such members count against the quota `server_group_members`: after a while no server can be created in the group.

## How it comes about
Servers were archived by a release that left the API database alone, or purged by SQL; two requests added the same
member. Deleted servers remain members until they are archived: that is normal and not reported.

## How to see it by hand
`openstack server group show <group>` lists only members that exist; `SELECT group_id FROM instance_group_member WHERE
instance_uuid = '<server>';` in nova_api shows the rest.

## Repair and its risk
`drop-group-members` deletes the rows of the server that does not exist, or all but the oldest of several. The
membership of a live server, on which the group's policy acts, stays.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER, existence

CHECK = Check(
    name="server-group-orphan-member",
    catalogue="C12",
    severity=Severity.INFO,
    message="server group number {group_id} has {members} row(s) of server {server}: {code}",
    codes={"unknown": "no cell knows that server", "duplicate": "one would do"},
    resource=("server", "server"),
    key=("server", "group_id"),
    needs=EVERY_SERVER,
    reads={"nova_api_instance_group_member": {"instance_uuid": "server"}, **existence()},
    ages={"grace": 3600},
    sql="""
        WITH members AS (
            SELECT g.group_id, g.instance_uuid AS server, COUNT(g.id) AS members, MAX(g.created_at) AS added
              FROM nova_api_instance_group_member g
             WHERE g.instance_uuid IS NOT NULL
             GROUP BY g.group_id, g.instance_uuid),
        odd AS (
            SELECT g.group_id, g.server, g.members, e.uuid IS NOT NULL OR d.uuid IS NOT NULL AS known
              FROM members g
              LEFT JOIN (SELECT DISTINCT uuid FROM existing_servers) e ON e.uuid = g.server
              LEFT JOIN (SELECT DISTINCT uuid FROM deleted_servers) d ON d.uuid = g.server
             WHERE g.added IS NULL OR g.added < $grace)
        SELECT group_id, server, members, CASE WHEN known THEN 'duplicate' ELSE 'unknown' END AS code
          FROM odd
         WHERE NOT known OR members > 1""",
)
