# SPDX-License-Identifier: Apache-2.0
"""Volumes do not name the service that they belong to.

## What is wrong
`volumes.service_uuid` is empty for live volumes of a back end. All volumes of one back end are one finding.

## Why it matters
`cinder-status upgrade check` fails because of a single such volume. os-brick takes no lock for volumes that share a
target, so that detaching one may disconnect another.

## How it comes about
The volume is older than Queens, and `cinder-manage db online_data_migrations` was left out there; later releases no
longer have that migration. Or the volume was taken over (`cinder manage`): Cinder fills the column only when it creates
a volume, and `cinder-volume` does not correct an empty one when it starts.

## How to see it by hand
`SELECT host, COUNT(*) FROM volumes WHERE deleted = 0 AND service_uuid IS NULL GROUP BY host;` in Cinder's database.

## Repair and its risk
None is planned. The plan says which statement sets the column for a back end; nothing is lost. Volumes whose creation
failed have none either and are not reported, but `cinder-status` counts them: delete them.
"""

from stackmend.model.check import Check, Obstacle, Severity

CHECK = Check(
    name="volume-service-unset",
    catalogue="H22",
    severity=Severity.INFO,
    message="{volumes} volume(s) on {backend}, for example {example}, do not name their cinder-volume",
    resource=("back end", "backend"),
    key=("backend",),
    needs=frozenset({"cinder"}),
    reads={"cinder_serviceless_volumes": {"host": "backend"}},
    ages={"grace": 3600},
    obstacles=(
        Obstacle(what="cinder-status upgrade check fails on them", source="cinder/cmd/status.py, _check_service_uuid"),
    ),
    by_hand="in Cinder's database: UPDATE volumes SET service_uuid = (SELECT uuid FROM services WHERE deleted = 0 AND"
    " `binary` = 'cinder-volume' AND host = SUBSTRING_INDEX('{backend}', '#', 1)) WHERE deleted = 0 AND service_uuid IS"
    " NULL AND host = '{backend}'",
    settle=False,
    sql="""
        SELECT host AS backend, COUNT(id) AS volumes, MIN(id) AS example
          FROM cinder_serviceless_volumes
         WHERE COALESCE(updated_at, created_at) < $grace
         GROUP BY host""",
)
