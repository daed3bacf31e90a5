# SPDX-License-Identifier: Apache-2.0
"""A cell is mapped to the database of another cell.

## What is wrong
Two cells in `nova_api.cell_mappings` have URLs that lead to one database, with whatever account and options. The
finding is about the younger mapping.

## Why it matters
Nova asks every mapped cell: lists show each server twice, and quotas count it twice. A server whose mapping leads to
the wrong one of two queues cannot be reached. If the cell should have a database of its own, its hosts do not find
their servers there. If one of the two is cell0, servers that could not be scheduled lie among running ones.

## How it comes about
The cell was mapped once more with another account, another host name of the queue, or other options: Nova refuses only
a URL that is the same text. Or the mapping of a new cell was made from a copy of another one's URLs.

## How to see it by hand
`nova-manage cell_v2 list_cells --verbose`, which shows the URLs with their passwords.

## Repair and its risk
By hand: only you know which mapping is right. Never delete a cell with `--force`: that deletes the mappings of its
servers, which are lost to Nova then. Until it is settled, stackmend reads the database once and takes what is mapped to
either cell for one cell, so that no other check finds anything twice. A URL with a template (`{hostname}`) is compared
as it is written; where two differently written URLs lead to one database, the audit says so and is incomplete.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="cell-database-shared",
    catalogue="C14",
    severity=Severity.ERROR,
    message="cell {cell} ({uuid}) is mapped to the database of {other}: {code}",
    codes={
        "empty": "nothing is mapped to it",
        "used": "{servers} server(s), deleted ones included, and {hosts} host(s) are mapped to it",
        "cell0": "cell0 needs a database of its own",
    },
    resource=("cell", "uuid"),
    key=("uuid",),
    needs=frozenset({"nova_api"}),
    reads={"nova_api_cell_mappings": {}, "nova_api_host_mappings": {}, "nova_api_servers_of_twins": {}},
    by_hand="{way}",
    settle=False,
    sql="""
        WITH hosts AS (
            SELECT cell_id, COUNT(*) AS hosts FROM nova_api_host_mappings GROUP BY cell_id
        ), twins AS (
            SELECT m.id, m.first_id, m.uuid, COALESCE(NULLIF(m.name, ''), m.uuid) AS cell, c.cell AS other,
                   COALESCE(s.servers, 0) AS servers, COALESCE(h.hosts, 0) AS hosts,
                   CASE WHEN m.uuid = '00000000-0000-0000-0000-000000000000' OR c.cell = 'cell0' THEN 'cell0'
                        WHEN COALESCE(s.servers, 0) + COALESCE(h.hosts, 0) = 0 THEN 'empty'
                        ELSE 'used' END AS code
              FROM nova_api_cell_mappings m
              JOIN cells c ON c.id = m.id
              LEFT JOIN nova_api_servers_of_twins s ON s.id = m.id
              LEFT JOIN hosts h ON h.cell_id = m.id
             WHERE NOT c.main
        )
        SELECT t.uuid, t.cell, t.other, t.servers, t.hosts, t.code,
               CASE t.code
                    WHEN 'cell0'
                    THEN 'make a database for cell0, give it the schema (nova-manage --config-file FILE db sync'
                         || ' --local_cell, FILE with its URL), then nova-manage cell_v2 update_cell --cell_uuid'
                         || ' 00000000-0000-0000-0000-000000000000 --database_connection URL --transport-url none:///'
                    WHEN 'empty'
                    THEN 'nova-manage cell_v2 delete_cell --cell_uuid ' || t.uuid || ', without --force; then restart'
                         || ' nova-api, nova-scheduler and the super conductor'
                    ELSE 'if it should have a database of its own: nova-manage cell_v2 update_cell --cell_uuid '
                         || t.uuid || ' --database_connection URL --transport-url URL. If it is ' || t.other
                         || ' mapped twice, move what is mapped to it: UPDATE nova_api.instance_mappings SET cell_id = '
                         || CAST(t.first_id AS VARCHAR) || ' WHERE cell_id = ' || CAST(t.id AS VARCHAR)
                         || '; UPDATE nova_api.host_mappings SET cell_id = ' || CAST(t.first_id AS VARCHAR)
                         || ' WHERE cell_id = ' || CAST(t.id AS VARCHAR) || '; then nova-manage cell_v2 delete_cell'
                         || ' --cell_uuid ' || t.uuid || ', without --force, which would delete the mappings of servers'
               END AS way
          FROM twins t""",
)
