# SPDX-License-Identifier: Apache-2.0
"""Allocations and their consumer do not belong together.

## What is wrong
Placement's tables have no foreign keys here. Allocations name a consumer that has no row (code `no-consumer`) or a
provider that does not exist (`no-provider`), or a consumer has no allocations (`empty`).

## Why it matters
Allocations without a consumer use up capacity, but the API neither shows nor deletes them. Those on a provider that
does not exist make every change of the consumer's allocations fail. An empty consumer is only residue.

## How it comes about
Rows from before Rocky that were never migrated (bug 1780799), or consumers and providers deleted by SQL.

## How to see it by hand
`SELECT a.id FROM allocations a LEFT JOIN consumers c ON c.uuid = a.consumer_id WHERE c.id IS NULL;` and the like.

## Repair and its risk
`mend-consumer` creates the consumer of a live server, as `placement-manage db online_data_migrations` does but with
the right owner; deletes the allocations of a consumer that is no server; deletes allocations on providers that do not
exist, and empty consumers. Nothing is lost.
"""

from stackmend.model.check import Check, Obstacle, Severity
from stackmend.tables.views import EVERY_SERVER

CHECK = Check(
    name="allocation-consumer-broken",
    catalogue="E8",
    severity=Severity.WARNING,
    message="consumer {consumer} with {held} allocation(s): {code}",
    codes={
        "no-consumer": "it has no row of its own, so that no API shows them",
        "no-provider": "some are on a provider that does not exist",
        "empty": "it is left without allocations",
    },
    resource=("consumer", "consumer"),
    key=("consumer",),
    needs=EVERY_SERVER | {"placement"},
    reads={
        "placement_allocations": {"consumer_id": "consumer"},
        "placement_consumers": {"uuid": "consumer"},
        "placement_resource_providers": {},
    },
    obstacles=(
        Obstacle(
            codes=frozenset({"no-consumer"}),
            what="placement-status warns of it, and the migration to Train stops: placement-manage db"
            " online_data_migrations",
            source="placement/cmd/status.py, _check_incomplete_consumers;"
            " placement/db/sqlalchemy/alembic/versions/b5c396305c25",
            blocks=False,
        ),
    ),
    ages={"grace": 3600},
    sql="""
        WITH nameless AS (
            SELECT a.consumer_id AS consumer, COUNT(a.id) AS held
              FROM placement_allocations a
              LEFT JOIN placement_consumers c ON c.uuid = a.consumer_id
             WHERE c.id IS NULL AND a.consumer_id IS NOT NULL AND (a.created_at IS NULL OR a.created_at < $grace)
             GROUP BY a.consumer_id),
        placeless AS (
            SELECT a.consumer_id AS consumer, COUNT(a.id) AS held
              FROM placement_allocations a
              LEFT JOIN placement_resource_providers p ON p.id = a.resource_provider_id
             WHERE p.id IS NULL AND a.consumer_id IS NOT NULL AND (a.created_at IS NULL OR a.created_at < $grace)
             GROUP BY a.consumer_id)
        SELECT n.consumer, n.held, 'no-consumer' AS code
          FROM nameless n
          LEFT JOIN placeless p ON p.consumer = n.consumer
         WHERE p.consumer IS NULL
        UNION ALL
        SELECT consumer, held, 'no-provider' AS code FROM placeless
        UNION ALL
        SELECT c.uuid, 0, 'empty' AS code
          FROM placement_consumers c
          LEFT JOIN placement_allocations a ON a.consumer_id = c.uuid
         WHERE a.id IS NULL AND c.uuid IS NOT NULL AND COALESCE(c.updated_at, c.created_at) < $grace""",
)
