# SPDX-License-Identifier: Apache-2.0
"""A volume is stuck in creating or downloading.

## What is wrong
The volume has been in status `creating` or `downloading` for more than two hours. The `code` says how far it came:

* `not-scheduled`: it has no back end, so the scheduler never placed it;
* `on-back-end`: a back end was chosen, and its creation there was never completed.

## Why it matters
A volume in these states can be neither used nor deleted by its owner, and it counts against the quota. A server that
was to boot from it has failed or is still building.

## How it comes about
cinder-scheduler or cinder-volume died or lost its message queue while it worked on the request. A cinder-volume that
starts again sets the volume to `error` only if it had a row in `workers` for it. A very large image that is copied
slowly looks the same: that is why nothing is done without consent.

## How to see it by hand
`openstack volume show <volume>` and `openstack volume service list`; on the host of the back end, look for a running
`qemu-img convert` or for the volume in the log of cinder-volume.

## Repair and its risk
`fail-volume-creation` sets the status to `error`, as cinder-volume does itself after a failed creation; the owner can
then delete the volume. If the creation is still running, cinder-volume sets the volume to `available` when it has
finished. Never set the status to `available` by hand: the volume has no data, or only a part of it.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-stuck-creating",
    catalogue="H13",
    severity=Severity.WARNING,
    message="volume {volume} ({size} GB) has been {status} since {since}: {code}",
    codes={
        "not-scheduled": "the scheduler never chose a back end for it",
        "on-back-end": "back end {backend} never completed it",
    },
    resource=("volume", "volume"),
    key=("volume",),
    needs=frozenset({"cinder"}),
    reads={"cinder_volumes": {"id": "volume"}},
    ages={"grace": 7200},
    lasting=frozenset({"grace"}),
    settle=False,
    sql="""
        SELECT id AS volume, project_id AS project, host AS backend, size AS size, status AS status,
               COALESCE(updated_at, created_at) AS since,
               CASE WHEN host IS NULL THEN 'not-scheduled' ELSE 'on-back-end' END AS code
          FROM cinder_volumes
         WHERE NOT deleted AND status IN ('creating', 'downloading') AND COALESCE(updated_at, created_at) < $grace
           AND COALESCE(migration_status, 'success') IN ('success', 'error')""",
)
