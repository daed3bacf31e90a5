# SPDX-License-Identifier: Apache-2.0
"""An allocation holds capacity for a deleted server or an ended migration.

## What is wrong
Placement holds allocations for a consumer that is neither a live server nor a migration in progress.

## Why it matters
The host looks fuller than it is: "No valid host" while capacity is free, and the compute service or the provider cannot
be deleted. Leaving it as it is loses nothing.

## How it comes about
A server was deleted through Nova's API while Placement was down; an evacuated host never came back to clean up (bug
1829479); a migration ended in error; a deleted server was archived before its node's resource tracker had seen it (bug
1793569). Nova removes such allocations only for deleted servers that are not yet archived, on their own node.

## How to see it by hand
`openstack resource provider show --allocations <provider>` lists the consumer; `openstack server show <consumer>`
answers "No server". `nova-manage placement audit` reports the same, but never run it with `--delete` unsupervised: if a
cell does not answer, it treats every allocation as an orphan (rule R2).

## Repair and its risk
The consumer's allocations are deleted and the generation of each provider is incremented. If the verdict were wrong,
the host could be overcommitted, so every cell must answer before an allocation is called an orphan.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER, LOST, MARKED, existence

CHECK = Check(
    name="allocation-orphan",
    catalogue="E1",
    severity=Severity.WARNING,
    message="consumer {consumer} holds allocations on {providers} provider(s), but is not a live server: {code}",
    codes={
        "deleted-server": "it is a deleted server",
        "finished-migration": "it is a migration that has ended",
        "unknown": "no cell knows a server or migration with that id",
    },
    resource=("consumer", "consumer"),
    key=("consumer",),
    sight=guest(server="consumer"),
    needs=EVERY_SERVER | {"placement"},
    reads={
        "placement_allocations": {"consumer_id": "consumer"},
        "placement_consumers": {"uuid": "consumer"},
        "placement_consumer_types": {},
        "placement_resource_classes": {},
        "nova_migrations": {"uuid": "consumer"},
        **existence("consumer"),
    },
    untold={"unknown": LOST.format("{consumer}"), "deleted-server": MARKED.format("{consumer}")},
    ages={"grace": 3600},
    # first decide whether the server should be deleted at all: its guest may be alive
    explained_by={"server-deleted-incompletely": {"consumer": "server"}},
    sql="""
        WITH strays AS (
            SELECT c.uuid AS consumer
              FROM placement_consumers c
              LEFT JOIN placement_consumer_types ct ON ct.id = c.consumer_type_id
              LEFT JOIN existing_servers e ON e.uuid = c.uuid
             WHERE e.uuid IS NULL AND COALESCE(ct.name, 'INSTANCE') IN ('INSTANCE', 'MIGRATION')
               AND c.created_at < $grace)
        SELECT a.consumer_id AS consumer,
               CASE WHEN MAX(d.uuid) IS NOT NULL THEN 'deleted-server'
                    WHEN MAX(m.uuid) IS NOT NULL THEN 'finished-migration'
                    ELSE 'unknown' END AS code,
               COUNT(DISTINCT a.resource_provider_id) AS providers,
               SUM(a.used) AS used
          FROM strays s
          JOIN placement_allocations a ON a.consumer_id = s.consumer
          JOIN placement_resource_classes rc ON rc.id = a.resource_class_id
          LEFT JOIN deleted_servers d ON d.uuid = a.consumer_id
          LEFT JOIN nova_migrations m ON m.uuid = a.consumer_id
         GROUP BY a.consumer_id
        HAVING COUNT(CASE WHEN rc.name NOT LIKE 'CUSTOM\\_%' ESCAPE '\\' THEN 1 END) > 0
           AND COUNT(CASE WHEN NOT m.deleted AND (m.status NOT IN
                    ('completed', 'confirmed', 'reverted', 'error', 'failed', 'cancelled', 'done')) THEN 1 END) = 0""",
)
