# SPDX-License-Identifier: Apache-2.0
"""`nova_api` does not map a compute host to the cell that has it.

## What is wrong
`nova_api.host_mappings` has no row of a host whose nova-compute is registered in a cell (code `missing`), maps it to a
cell that does not have it while another one does (`other-cell`), or has a row of a host that no cell has: no
nova-compute, no compute node, no server (`no-host`).

## Why it matters
Without a mapping the scheduler may choose the host and then fails: "No host-to-cell mapping found", and the server is
buried in cell0. With the wrong cell every request for the host goes to a message queue that nobody there reads.

## How it comes about
`nova-manage cell_v2 discover_hosts` was not run for a new host, a compute service was deleted by SQL or by a release
that left the mapping (bug 1756179), or nova-compute was configured with the transport URL of another cell.

## How to see it by hand
`nova-manage cell_v2 list_hosts`, beside `openstack compute service list --service nova-compute`.

## Repair and its risk
`mend-host-mapping` inserts, corrects or deletes the row. A mapping is never moved away from a cell that has servers on
the host. A new host waits an hour before it is reported: it may be waiting for the next discovery. The scheduler caches
mappings: restart it, or send it SIGHUP.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER

CHECK = Check(
    name="host-mapping-drift",
    catalogue="C10",
    severity=Severity.WARNING,
    message="compute host {host}: {code}",
    codes={
        "missing": "{cell} has its nova-compute, but nova_api has no mapping of it",
        "other-cell": "{cell} has its nova-compute, but nova_api maps it to {mapped}, which does not",
        "no-host": "nova_api maps it to {mapped}, but no cell has a nova-compute, a compute node or a server of it",
    },
    resource=("host", "host"),
    key=("host",),
    needs=EVERY_SERVER,
    reads={
        "nova_api_host_mappings": {"host": "host"},
        "nova_api_cell_mappings": {},
        "nova_services": {"host": "host"},
        "nova_compute_nodes": {"host": "host"},
        "nova_instances": {"host": "host"},
    },
    ages={"grace": 3600},
    sql="""
        WITH computes AS (
            SELECT v.host, v.cell, c.id AS cell_id, v.created_at
              FROM nova_services v
              JOIN cells c ON c.cell = v.cell AND c.main
             WHERE NOT v.deleted AND v."binary" = 'nova-compute' AND v.host IS NOT NULL),
        hosts AS (
            SELECT host, COUNT(*) AS many, MIN(cell) AS cell, MIN(cell_id) AS cell_id, MAX(created_at) AS created_at
              FROM computes GROUP BY host)
        SELECT h.host, h.cell, h.cell_id, COALESCE(c.cell, '') AS mapped,
               CASE WHEN m.host IS NULL THEN 'missing' ELSE 'other-cell' END AS code
          FROM hosts h
          LEFT JOIN nova_api_host_mappings m ON m.host = h.host
          LEFT JOIN cells c ON c.id = m.cell_id
         WHERE h.many = 1 AND h.created_at < $grace AND (m.host IS NULL OR NULLIF(h.cell, c.cell) IS NOT NULL)
        UNION ALL
        SELECT m.host, '', m.cell_id, COALESCE(c.cell, ''), 'no-host' AS code
          FROM nova_api_host_mappings m
          LEFT JOIN cells c ON c.id = m.cell_id
          LEFT JOIN hosts h ON h.host = m.host
          LEFT JOIN (SELECT DISTINCT host FROM nova_compute_nodes WHERE NOT deleted) n ON n.host = m.host
          LEFT JOIN (SELECT DISTINCT host FROM nova_instances WHERE NOT deleted) i ON i.host = m.host
         WHERE h.host IS NULL AND n.host IS NULL AND i.host IS NULL""",
)
