# SPDX-License-Identifier: Apache-2.0
"""A living server has hundreds of faults, or thousands of actions.

## What is wrong
Nova has recorded a hundred faults of the server, or five thousand actions. Both numbers can be set for the site
(`[counts.server-history-overgrown]`): `faults`, of which fewer than 20 are never counted, and `actions`, of which fewer
than 500 are not.

## Why it matters
Something fails, or is done, again and again: that is the thing to look at. Nova keeps these rows as long as the server
lives. A list of servers searches all faults of each for the newest. Archiving moves a server with all that belongs to
it in one transaction.

## How it comes about
A script tries the same operation every few minutes, or backs the server up every hour. A periodic task of nova-compute
fails and records a fault each time.

## How to see it by hand
`openstack server event list <server>` and, in its cell, `SELECT code, message, host, COUNT(*), MAX(created_at) FROM
instance_faults WHERE instance_uuid = '<server>' AND deleted = 0 GROUP BY code, message, host;`

## Repair and its risk
None. Nova shows only the newest fault, but it has no command that removes the others before the server is deleted and
archived.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="server-history-overgrown",
    catalogue="B5",
    severity=Severity.INFO,
    message="server {server} has too long a history since {since}: {code}",
    codes={
        "faults": "{faults} faults",
        "actions": "{actions} actions",
        "both": "{faults} faults and {actions} actions",
    },
    resource=("server", "server"),
    key=("server", "cell"),
    needs=frozenset({"cells"}),
    reads={
        "nova_instances": {"uuid": "server"},
        "nova_faults_of_servers": {"instance_uuid": "server"},
        "nova_actions_of_servers": {"instance_uuid": "server"},
    },
    counts={"faults": 100, "actions": 5000},
    settle=False,
    by_hand=(
        "find out what fails, or is done, again and again: openstack server event list {server}. The rows go when the"
        " server has been deleted, with nova-manage db archive_deleted_rows"
    ),
    sql="""
        WITH long AS (
            SELECT u.cell, u.instance_uuid, MAX(u.faults) AS faults, MAX(u.actions) AS actions
              FROM (SELECT cell, instance_uuid, number AS faults, 0 AS actions
                      FROM nova_faults_of_servers WHERE number >= $faults
                    UNION ALL
                    SELECT cell, instance_uuid, 0, number
                      FROM nova_actions_of_servers WHERE number >= $actions) u
             GROUP BY u.cell, u.instance_uuid)
        SELECT i.uuid AS server, i.cell, i.created_at AS since, l.faults, l.actions,
               CASE WHEN l.actions = 0 THEN 'faults' WHEN l.faults = 0 THEN 'actions' ELSE 'both' END AS code
          FROM long l
          JOIN nova_instances i ON i.uuid = l.instance_uuid AND i.cell = l.cell
         WHERE NOT i.deleted""",
)
