# SPDX-License-Identifier: Apache-2.0
"""Volumes are on a back end that no cinder-volume serves.

## What is wrong
Live volumes name a back end (`host@backend#pool`) in `volumes.host`, but Cinder has no cinder-volume service of that
name, and none of the volume's cluster. All volumes of one back end are one finding.

## Why it matters
Cinder sends every request about these volumes to a queue that nobody reads: they can be neither attached, detached,
extended nor deleted, and stay in a transitional status for ever.

## How it comes about
The back end was renamed in `cinder.conf`, a controller was replaced by one with another name, or its service was
removed with `cinder-manage service remove` before its volumes were migrated.

## How to see it by hand
`openstack volume service list` and `openstack volume list --all-projects --long -c ID -c Host`; in Cinder's database,
`SELECT host, COUNT(*) FROM volumes WHERE deleted = 0 GROUP BY host`.

## Repair and its risk
If the same back end is served under another name now, `cinder-manage volume update_host --currenthost <old> --newhost
<new>` moves all its volumes in Cinder's records, and `cinder-manage backup update_backup_host` backups. Only a human
knows whether both names stand for the same storage: with the wrong one, Cinder would look for the data elsewhere. If
the service was only removed or stopped, start it under its old name.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-host-unknown",
    catalogue="H22",
    severity=Severity.ERROR,
    message="{volumes} volume(s) are on {backend}, for example {example}, but no cinder-volume serves it",
    resource=("back end", "backend"),
    key=("backend",),
    needs=frozenset({"cinder"}),
    reads={"cinder_volumes": {"host": "backend"}, "cinder_services": {}},
    ages={"grace": 3600},
    by_hand="if the same storage is served under another name (openstack volume service list), run 'cinder-manage"
    " volume update_host --currenthost {backend} --newhost <host@backend#pool>'; otherwise start cinder-volume as"
    " {backend}",
    settle=False,
    sql="""
        WITH used AS (
            SELECT host, cluster_name, COUNT(*) AS volumes, MIN(id) AS example
              FROM cinder_volumes
             WHERE NOT deleted AND host IS NOT NULL AND COALESCE(updated_at, created_at) < $grace
             GROUP BY host, cluster_name
        ), served AS (
            SELECT DISTINCT host AS name FROM cinder_services WHERE NOT deleted AND "binary" = 'cinder-volume'
            UNION
            SELECT DISTINCT cluster_name FROM cinder_services
             WHERE NOT deleted AND "binary" = 'cinder-volume' AND cluster_name IS NOT NULL
        )
        SELECT u.host AS backend, SUM(u.volumes) AS volumes, MIN(u.example) AS example
          FROM used u
          LEFT JOIN served s ON s.name = split_part(u.host, '#', 1)
          LEFT JOIN served c ON c.name = split_part(u.cluster_name, '#', 1)
         WHERE s.name IS NULL AND c.name IS NULL
         GROUP BY u.host""",
)
