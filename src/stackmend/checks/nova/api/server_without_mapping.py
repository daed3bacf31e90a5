# SPDX-License-Identifier: Apache-2.0
"""A cell has a live server that `nova_api` does not map to it.

## What is wrong
The server has a live row in a cell, but no row in `nova_api.instance_mappings` (code `missing`), or one that names no
cell (`no-cell`). A server that is mapped to another cell is a finding of `server-duplicate-across-cells`.

## Why it matters
The API answers 404 for the server, although its guest runs and uses its ports, volumes and allocations. A deletion
returns without deleting anything. Where usage is counted from mappings the server is not counted.

## How it comes about
`nova_api` was restored from an older dump, the conductor died while it scheduled the server, or the mapping was deleted
by hand or by a purge that stopped halfway.

## How to see it by hand
`nova-manage cell_v2 verify_instance --uuid <server>` (exit code 1 or 2), beside `SELECT host, vm_state FROM instances
WHERE uuid = '<server>' AND deleted = 0;` in each cell.

## Repair and its risk
`map-server` inserts the mapping, or sets its cell, as `nova-manage cell_v2 map_instances --cell_uuid <cell>` does for
all servers of a cell. Nothing is lost. Refused if two cells have the server live.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER

CHECK = Check(
    name="server-without-mapping",
    catalogue="C2",
    severity=Severity.ERROR,
    message="server {server} is in {cell}, but {code}",
    codes={
        "missing": "nova_api has no mapping of it",
        "no-cell": "its mapping in nova_api names no cell",
    },
    resource=("server", "server"),
    key=("server", "cell"),
    needs=EVERY_SERVER,
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={
        "nova_instances": {"uuid": "server"},
        "nova_api_instance_mappings": {"instance_uuid": "server"},
        "nova_api_cell_mappings": {},
    },
    ages={"idle": 600},
    sql="""
        SELECT s.uuid AS server, s.cell, s.host, s.vm_state, c.id AS cell_id,
               CASE WHEN m.instance_uuid IS NULL THEN 'missing' ELSE 'no-cell' END AS code
          FROM servers s
          JOIN cells c ON c.cell = s.cell AND c.main
          LEFT JOIN nova_api_instance_mappings m ON m.instance_uuid = s.uuid
         WHERE m.cell_id IS NULL AND s.created_at < $idle""",
)
