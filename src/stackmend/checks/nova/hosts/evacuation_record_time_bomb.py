# SPDX-License-Identifier: Apache-2.0
"""An evacuation record would make nova-compute destroy a live guest at its next start.

## What is wrong
A row in `migrations` of type `evacuation`, in status `accepted`, `pre-migrating` or `done`, names as its source the
host that the server is on **now**. Rows that are marked deleted count as well.

## Why it matters
When nova-compute starts, it destroys every local guest for which such a record names its host as the source. It does
not check where the server is now, and it reads deleted records too. The guest is destroyed, and its local disks with
it, unless the storage counts as shared with the destination.

## How it comes about
The conductor died after the API had written the record (`accepted`); an evacuation failed; the server was moved back
before nova-compute on the source was started again; a record was inserted by hand for a move by SQL.

## How to see it by hand
`SELECT id, status, deleted, source_compute FROM migrations WHERE migration_type = 'evacuation' AND instance_uuid =
'<server>';` beside `SELECT host FROM instances WHERE uuid = '<server>';`

## Repair and its risk
`defuse-evacuation-record` sets the status that ends the record: `error` for an evacuation that never succeeded,
`completed` for one that did. Marking the row deleted would not help. First make sure that the guest runs on the host
that Nova names: if it runs on the destination, the record is right and the server's host is wrong.

Do not restart nova-compute on a host with such a finding.
"""

from stackmend.model.check import Check, Obstacle, Severity

CHECK = Check(
    name="evacuation-record-time-bomb",
    catalogue="F6",
    severity=Severity.ERROR,
    message="nova-compute on {host} will destroy the guest of server {server} when it starts: {code} (record {record})",
    codes={
        "begun": "an evacuation from that host, which is the server's own, began and never ended",
        "done": "an evacuation from that host ended, and the server is on it again",
    },
    resource=("server", "server"),
    key=("server", "record"),
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={
        "nova_instances": {"uuid": "server"},
        "nova_migrations": {"instance_uuid": "server"},
    },
    spares=frozenset({"nova_migrations.deleted"}),
    obstacles=(
        Obstacle(
            what="the upgrade restarts nova-compute, which then destroys the guest",
            source="nova/compute/manager.py, _destroy_evacuated_instances",
        ),
    ),
    ages={"idle": 600, "grace": 7200},
    lasting=frozenset({"idle", "grace"}),
    sql="""
        SELECT s.uuid AS server, s.cell, s.host, m.id AS record, m.status, m.dest_compute,
               CASE WHEN m.status = 'done' THEN 'done' ELSE 'begun' END AS code
          FROM nova_migrations m
          JOIN servers s ON s.uuid = m.instance_uuid AND s.cell = m.cell AND s.host = m.source_compute
         WHERE m.migration_type = 'evacuation' AND m.status IN ('accepted', 'pre-migrating', 'done')
           AND COALESCE(m.updated_at, m.created_at)
               < CASE WHEN COALESCE(s.task_state, '') LIKE 'rebuild%' THEN $grace ELSE $idle END""",
)
