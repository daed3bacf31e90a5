# SPDX-License-Identifier: Apache-2.0
"""A quota reservation of Cinder has expired, but still counts.

## What is wrong
Cinder reserves quota for a request and commits the reservation or rolls it back at its end. This one expired more than
a day ago and is still live, although cinder-scheduler removes expired reservations once a day.

## Why it matters
A positive reservation counts as used: the project is refused volumes, snapshots or gigabytes that it does not have. The
table grows with each.

## How it comes about
cinder-api or cinder-volume died between the reservation and its end, and no cinder-scheduler runs the periodic task, or
it fails (a reservation without its usage ends it).

## How to see it by hand
`SELECT id, project_id, resource, delta, expire FROM reservations WHERE deleted = 0 AND expire < UTC_TIMESTAMP()`, and
`openstack quota show --usage <project>`.

## Repair and its risk
`expire-cinder-reservation` does what Cinder's own periodic task does: a positive reservation is subtracted from
`quota_usages.reserved`, never below zero, and the reservation is marked deleted.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="cinder-reservation-stuck",
    catalogue="H21",
    severity=Severity.WARNING,
    message="reservation {reservation} of {delta} {what} for project {project} expired at {expired}, but still counts",
    resource=("project", "project"),
    key=("reservation",),
    needs=frozenset({"cinder"}),
    reads={"cinder_reservations": {"id": "reservation"}},
    ages={"expired": 90000},
    lasting=frozenset({"expired"}),
    settle=False,
    sql="""
        SELECT id AS reservation, project_id AS project, resource AS what, delta AS delta, expire AS expired,
               usage_id AS usage
          FROM cinder_reservations
         WHERE NOT deleted AND expire < $expired""",
)
