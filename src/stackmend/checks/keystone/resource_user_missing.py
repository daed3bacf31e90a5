# SPDX-License-Identifier: Apache-2.0
"""A user that Keystone does not have still owns servers or key pairs.

## What is wrong
Live servers or key pairs of Nova name a user that is not in Keystone. What one user owns of one kind is one finding,
and the `code` says what:

* `servers`: servers were created by that user;
* `keypairs`: key pairs belong to that user.

Only ids of the form that Keystone gives to its own users are judged. Users of a directory (LDAP) have ids of another
form; if the directory is the default one they may not, and then nothing is reported. What is younger than an hour is
not counted.

## Why it matters
Servers belong to their project, and run on. But nobody else can use the key pairs, what is allowed only to the creator
of a server (a policy with `user_id`) is allowed to nobody, and Barbican may let only that user read the key of an
encrypted volume that this user created.

## How it comes about
Somebody left, and the user was deleted. Keystone notifies no other service; application credentials and trusts go with
the user, and whatever logs in with them stops working, which no database shows.

## How to see it by hand
`openstack user show <user>` finds nothing; `openstack server list --all-projects --user <user>` and `openstack keypair
list --user <user>` list what the user has.

## Repair and its risk
`delete-key-pairs` deletes the key pairs of that user. Servers keep copies of theirs. Servers are left alone: Nova
never gives a server to another user, and need not. Make sure that this is the Keystone of the cloud, and not a copy
or one of several.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="resource-user-missing",
    catalogue="K2",
    severity=Severity.INFO,
    message="user {user} does not exist, but {things} {code}",
    codes={
        "servers": "server(s), {example} for one, were created by that user",
        "keypairs": "key pair(s), {example} for one, belong to that user",
    },
    resource=("user", "user"),
    key=("user", "code"),
    needs=frozenset({"cells", "nova_api", "keystone"}),
    reads={
        "nova_instances": {"user_id": "user"},
        "nova_api_key_pairs": {"user_id": "user"},
        "keystone_user": {},
        "keystone_directory_ids": {"public_id": "user"},
        "keystone_unmapped_users": {},
    },
    ages={"grace": 3600},
    by_hand="ask the project of the servers who looks after them: openstack server list --all-projects --user {user}"
    " --long. Nothing has to be repaired; they can be given to another user only by building them anew",
    # nobody can be said to be missing while a directory has users without ids of Keystone's: their number must be
    # "none", which is always 0 (an equality, as every join has to be one)
    sql="""
        WITH owned AS (
            SELECT user_id, 'servers' AS code, COUNT(*) AS things, MIN(uuid) AS example,
                   COUNT(*) - COUNT(user_id) AS "none"
              FROM nova_instances
             WHERE NOT deleted AND LENGTH(user_id) = 32 AND COALESCE(updated_at, created_at) < $grace
             GROUP BY user_id
            UNION ALL
            SELECT user_id, 'keypairs' AS code, COUNT(*) AS things, MIN(name) AS example,
                   COUNT(*) - COUNT(user_id) AS "none"
              FROM nova_api_key_pairs
             WHERE LENGTH(user_id) = 32 AND COALESCE(created_at < $grace, TRUE)
             GROUP BY user_id)
        SELECT o.user_id AS "user", o.code, o.things, o.example
          FROM owned o
          JOIN (SELECT COUNT(*) AS number FROM keystone_unmapped_users) n ON n.number = o."none"
          LEFT JOIN keystone_user u ON u.id = o.user_id
          LEFT JOIN keystone_directory_ids d ON d.public_id = o.user_id
         WHERE u.id IS NULL AND d.public_id IS NULL""",
)
