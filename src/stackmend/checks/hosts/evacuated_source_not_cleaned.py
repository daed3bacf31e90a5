# SPDX-License-Identifier: Apache-2.0
"""The host from which a server was evacuated is back, and still has its directory.

## What is wrong
An evacuation of the server from this host is recorded (`accepted`, `pre-migrating` or `done`), the server is on
another host or gone, nova-compute on this one reports again, no domain of it is there, and its directory is. A guest
that is still defined there is found by `domain-undead` (code `evacuated`), and its allocation by
`allocation-wrong-provider`.

## Why it matters
The disks fill the host, and are a copy of the server's data as of the moment when the host died. As long as the
record is open, `instance-dir-orphan` and `stackmend host salvage` leave them alone: nova-compute is expected to clean
up.

## How it comes about
nova-compute cleans up after an evacuation only when it starts, and only guests that libvirt shows it. It was cut off
and not restarted; or the domain was removed by hand, or with libvirt's state, before.

## How to see it by hand
`openstack server migration list --server <server> --type evacuation`; `ls <instances_path>/<server>` on the host;
`openstack compute service list --host <host>`.

## Repair and its risk
By hand. If the new server was built from its image (no shared disks), what its owner had is in this directory alone:
ask before anything else. Then restart nova-compute, which ends the record, and `stackmend host salvage <host>
--orphans --quarantine` moves the directory aside a week after its last change, and can be undone. Before the restart
see that no finding `evacuation-record-time-bomb` names this host. Of a server that is gone, nova-compute never ends
the record (nova/compute/manager.py: _destroy_evacuated_instances): its directory is moved aside by hand. Never delete
the record: it is what keeps the old guest from being started. While nova-compute is down this is no finding, and on a
file system that hosts may share it is none: the directory may be that of the new host.
"""

from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import EVERY_SERVER, idle

OUTSIDE_CHECK = OutsideCheck(
    name="evacuated-source-not-cleaned",
    catalogue="F5",
    severity=Severity.WARNING,
    message="server {server} was evacuated from {host}, whose nova-compute is back, and {path} is still there",
    resource=("server", "server"),
    key=("server", "host"),
    needs=EVERY_SERVER,
    reads={
        **idle(),
        "nova_services": {"host": "host"},
        "host_domains": {"uuid": "server"},
        "host_directories": {"uuid": "server"},
    },
    ages={"idle": 3600, "alive": 600},
    lasting=frozenset({"alive"}),
    by_hand="ask the owner of {server} whether anything in {host}:{path} is needed. {advice}",
    sql="""
        WITH left_behind AS (
            SELECT f.uuid, f.host, MIN(f.path) AS path
              FROM host_directories f
              LEFT JOIN host_domains d ON d.uuid = f.uuid AND d.host = f.host
             WHERE f.role = '' AND f.local AND d.uuid IS NULL
             GROUP BY f.uuid, f.host),
        fled AS (
            SELECT l.uuid, l.host, l.path, MAX(m.id) AS record, MAX(COALESCE(m.updated_at, m.created_at)) AS changed_at
              FROM left_behind l
              JOIN nova_migrations m ON m.instance_uuid = l.uuid AND m.source_compute = l.host
             WHERE m.migration_type = 'evacuation' AND m.status IN ('accepted', 'pre-migrating', 'done')
             GROUP BY l.uuid, l.host, l.path),
        back AS (
            SELECT DISTINCT host FROM nova_services
             WHERE NOT deleted AND "binary" = 'nova-compute' AND updated_at >= $alive),
        living AS (
            SELECT DISTINCT uuid, host FROM nova_instances WHERE NOT COALESCE(deleted, FALSE)),
        busy AS (
            SELECT l.uuid FROM living l LEFT JOIN idle_servers s ON s.uuid = l.uuid AND s.changed_at < $idle
             WHERE s.uuid IS NULL)
        SELECT DISTINCT f.uuid AS server, f.host, f.path, f.record,
               CASE WHEN e.uuid IS NULL
                    THEN 'No cell has the server any more, so nova-compute never ends record ' || f.record || '. On '
                         || f.host || ', if nothing there has a file in it open (fuser -v ' || f.path || '/*):'
                         || ' mkdir -p ' || REPLACE(f.path, f.uuid, '.stackmend-quarantine')
                         || '; mv -nT ' || f.path || ' ' || REPLACE(f.path, f.uuid, '.stackmend-quarantine/' || f.uuid)
                    ELSE 'See that no finding evacuation-record-time-bomb names ' || f.host || '; restart nova-compute'
                         || ' there, which ends record ' || f.record || '; then: stackmend host salvage ' || f.host
                         || ' --orphans --quarantine' END AS advice
          FROM fled f
          JOIN back k ON k.host = f.host
          LEFT JOIN living h ON h.uuid = f.uuid AND h.host = f.host
          LEFT JOIN (SELECT DISTINCT uuid FROM living) e ON e.uuid = f.uuid
          LEFT JOIN busy b ON b.uuid = f.uuid
         WHERE h.uuid IS NULL AND b.uuid IS NULL AND f.changed_at < $idle""",
)
