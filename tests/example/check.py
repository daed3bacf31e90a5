# SPDX-License-Identifier: Apache-2.0
"""A volume says that it is migrating, and nothing moves.

## What is wrong
`volumes.migration_status` is `starting` for hours, and nothing of the volume has changed.

## Why it matters
Cinder neither attaches nor deletes a volume that is migrating.

## How it comes about
cinder-volume died between the request and its first act.

## How to see it by hand
`SELECT id FROM volumes WHERE migration_status = 'starting' AND deleted = 0`.

## Repair and its risk
`clear-migration-status` says that there is no migration. The volume's data has not been touched by then.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-migration-left",
    catalogue="H13",
    severity=Severity.WARNING,
    message="volume {volume} waits for a migration that nobody begins, since {since}",
    resource=("volume", "volume"),
    key=("volume",),
    needs=frozenset({"cinder"}),
    reads={"cinder_volumes": {"id": "volume"}},
    ages={"grace": 3600},
    settle=False,
    sql="""
        SELECT id AS volume, project_id AS project, COALESCE(updated_at, created_at) AS since
          FROM cinder_volumes
         WHERE NOT deleted AND migration_status = 'starting' AND status = 'available'
           AND COALESCE(updated_at, created_at) < $grace""",
)
