# SPDX-License-Identifier: Apache-2.0
"""A cell is mapped to the message queue of another cell.

## What is wrong
The transport URL of a cell in `nova_api.cell_mappings` leads to the same queue as that of another cell, with whatever
account.

## Why it matters
Conductors answer requests of the other cell's hosts, and look for their servers in the wrong database; what Nova's API
sends to a host of one cell waits in a queue that nobody there reads.

## How it comes about
The mapping of a new cell was made from a copy of another one's URLs.

## How to see it by hand
`nova-manage cell_v2 list_cells --verbose`, which shows the URLs with their passwords.

## Repair and its risk
None: only you know the right URL. Restart the services of Nova's API and its conductors afterwards. Never delete a cell
that servers are mapped to. cell0 has no hosts and needs no queue. The URLs stay in the database, which compares them
itself. Two cells with one database are `cell-database-shared`. A missing cell0, and a database that does not answer or
is another cell's copy, are told by every audit before any check; a disabled cell with servers is no damage.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="cell-mapping-broken",
    catalogue="C14",
    severity=Severity.ERROR,
    message="the transport URL of {cell} leads to the message queue of {other}",
    resource=("cell", "cell"),
    key=("cell",),
    needs=frozenset({"nova_api"}),
    reads={"nova_api_cell_mappings": {}, "nova_api_shared_queues": {}},
    by_hand=(
        "find out which transport_url the nova-computes of {cell} have in their nova.conf, then nova-manage cell_v2"
        " update_cell --cell_uuid {uuid} --transport-url URL"
    ),
    settle=False,
    sql="""
        SELECT c.cell, m.uuid, MIN(o.cell) AS other
          FROM nova_api_shared_queues q
          JOIN nova_api_cell_mappings m ON m.id = q.id
          JOIN cells c ON c.id = q.id
          JOIN cells o ON o.id = q.other_id
         WHERE NULLIF(c.cell, o.cell) IS NOT NULL
         GROUP BY c.cell, m.uuid""",
)
