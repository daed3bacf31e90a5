# SPDX-License-Identifier: Apache-2.0
"""Cinder has a record of work on a volume or snapshot that no longer fits it.

## What is wrong
While a service creates, deletes, downloads or uploads a volume, or creates a snapshot, Cinder has a row in `workers`
with the status in which the work began. This row is older than a day. The `code` says what does not fit:

* `gone`: the volume or snapshot is deleted, or there is none;
* `other-status`: it has another status by now, so the work has ended.

## Why it matters
The row outlives its purpose, and a service that starts acts on such rows: if the volume has that status again by then,
for a reason of its own, the service cleans it up. A row in `deleting` makes it delete the volume.

## How it comes about
A service died between the last change of the volume and the removal of its record, or somebody set the status in the
database. Cinder's API removes the record when it resets a status.

## How to see it by hand
`SELECT id, status, service_id FROM workers WHERE resource_id = '<id>'`, and `openstack volume show <id>` or
`openstack volume snapshot show <id>`.

## Repair and its risk
`drop-worker` deletes the row. The volume is not touched. If a service is still working on it, it will find its record
missing and end without it.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="cinder-worker-stale",
    catalogue="H25",
    severity=Severity.INFO,
    message="Cinder has a record since {since} that a service works on {kind} {resource} ({recorded}): {code}",
    codes={
        "gone": "it no longer exists",
        "other-status": "it is {status} by now",
    },
    resource=("volume", "resource"),
    key=("worker",),
    needs=frozenset({"cinder"}),
    reads={
        "cinder_workers": {"id": "worker"},
        "cinder_volumes": {"id": "cinder_workers.resource_id"},
        "cinder_snapshots": {"id": "cinder_workers.resource_id"},
    },
    ages={"grace": 86400},
    lasting=frozenset({"grace"}),
    settle=False,
    # Cinder has a row of type SENTINEL for its own use
    sql="""
        WITH old AS (
            SELECT id, resource_type, resource_id, status, COALESCE(updated_at, created_at) AS since
              FROM cinder_workers
             WHERE resource_type IN ('Volume', 'Snapshot') AND COALESCE(updated_at, created_at) < $grace
        )
        SELECT w.id AS worker, LOWER(w.resource_type) AS kind, w.resource_id AS resource, w.status AS recorded,
               w.since AS since, COALESCE(v.status, s.status) AS status,
               CASE WHEN v.id IS NULL AND s.id IS NULL THEN 'gone' ELSE 'other-status' END AS code
          FROM old w
          LEFT JOIN cinder_volumes v ON v.id = w.resource_id AND w.resource_type = 'Volume' AND NOT v.deleted
          LEFT JOIN cinder_snapshots s ON s.id = w.resource_id AND w.resource_type = 'Snapshot' AND NOT s.deleted
         WHERE COALESCE(v.status, s.status, '') <> w.status""",
)
