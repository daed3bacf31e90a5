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
servers, which are lost to Nova then. No command of Nova moves mappings from one cell to another; hosts go first, or the
next server is built under the mapping that is being emptied. If cell0 gets a database of its own, its servers stay
where they are, and have to be mapped to the other cell.

Until it is settled, stackmend reads the database once and takes what is mapped to either cell for one cell, so that no
other check finds anything twice. A URL with a template (`{hostname}`) is compared as it is written; where two
differently written URLs lead to one database, the audit says so and is incomplete.
"""

from stackmend.model.check import Check, Severity

#: parts of the way out, as texts of SQL
_CHANGE = "'nova-manage cell_v2 update_cell --cell_uuid '"
_SET = "'UPDATE nova_api.instance_mappings SET cell_id = '"
_SLOWLY = "' ORDER BY id LIMIT 10000, again and again until no row changes'"
_RESTART = "'; then restart nova-api, nova-scheduler and the conductors'"

CHECK = Check(
    name="cell-database-shared",
    catalogue="C14",
    severity=Severity.ERROR,
    message="cell {cell} ({uuid}) is mapped to the database of {other}: {code}",
    codes={
        "empty": "nothing is mapped to it",
        "used": "{servers} server(s), deleted ones included, and {hosts} host(s) are mapped to it",
        "former": "{servers} server(s), deleted ones included, and {hosts} host(s) are mapped to it, none to the other",
        "cell0": "cell0 needs a database of its own",
    },
    resource=("cell", "uuid"),
    key=("uuid",),
    needs=frozenset({"nova_api"}),
    reads={"nova_api_cell_mappings": {}, "nova_api_host_mappings": {}, "nova_api_servers_of_twins": {}},
    by_hand="{way}",
    settle=False,
    sql=f"""
        WITH hosts AS (
            SELECT cell_id, COUNT(*) AS hosts FROM nova_api_host_mappings GROUP BY cell_id
        ), mapped AS (
            SELECT m.id, m.first_id, m.uuid, m.uuid = '00000000-0000-0000-0000-000000000000' AS zero,
                   COALESCE(NULLIF(m.name, ''), m.uuid) AS cell, COALESCE(s.servers, 0) AS servers,
                   COALESCE(h.hosts, 0) AS hosts
              FROM nova_api_cell_mappings m
              LEFT JOIN nova_api_servers_of_twins s ON s.id = m.id
              LEFT JOIN hosts h ON h.cell_id = m.id
        ), twins AS (
            SELECT t.id, t.uuid, t.cell, t.servers, t.hosts, o.id AS other_id, o.uuid AS other_uuid, c.cell AS other,
                   CASE WHEN t.zero THEN o.id ELSE t.id END AS no_zero,
                   CASE WHEN t.zero THEN o.cell ELSE t.cell END AS no_zero_cell,
                   CASE WHEN t.zero THEN t.id ELSE o.id END AS zero,
                   CASE WHEN t.servers + t.hosts = 0 AND NOT t.zero THEN 'empty'
                        WHEN t.zero OR o.zero THEN 'cell0'
                        WHEN o.servers + o.hosts = 0 THEN 'former'
                        ELSE 'used' END AS code
              FROM mapped t
              JOIN mapped o ON o.id = t.first_id AND o.id <> t.id
              JOIN cells c ON c.id = t.id
        )
        SELECT t.uuid, t.cell, t.other, t.servers, t.hosts, t.code,
               CASE t.code
                    WHEN 'cell0'
                    THEN 'if cell0 had a database of its own before, give it that one: ' || {_CHANGE}
                         || '00000000-0000-0000-0000-000000000000 --database_connection URL --transport-url none:///'
                         || {_RESTART} || '. If not, make a database for cell0 and give it the schema (nova-manage'
                         || ' --config-file FILE db sync --local_cell, FILE with its URL); map the servers of cell0,'
                         || ' whose rows stay here, to ' || t.no_zero_cell || ': ' || {_SET}
                         || CAST(t.no_zero AS VARCHAR) || ' WHERE cell_id = ' || CAST(t.zero AS VARCHAR) || {_SLOWLY}
                         || '; then give it that one likewise'
                    WHEN 'empty'
                    THEN 'nova-manage cell_v2 delete_cell --cell_uuid ' || t.uuid || ', without --force, or, if it'
                         || ' should have a database of its own, ' || {_CHANGE} || t.uuid
                         || ' --database_connection URL --transport-url URL' || {_RESTART}
                    WHEN 'former'
                    THEN 'if ' || t.other || ' is the former mapping of it: nova-manage cell_v2 delete_cell'
                         || ' --cell_uuid ' || t.other_uuid || ', without --force' || {_RESTART}
                    ELSE 'if it should have a database of its own: ' || {_CHANGE} || t.uuid
                         || ' --database_connection URL --transport-url URL. If it is ' || t.other
                         || ' mapped twice, see that the queue of cell ' || t.other_uuid || ' is the right one'
                         || ' (nova-manage cell_v2 list_cells --verbose), and move what is mapped here to it: UPDATE'
                         || ' nova_api.host_mappings SET cell_id = ' || CAST(t.other_id AS VARCHAR)
                         || ' WHERE cell_id = ' || CAST(t.id AS VARCHAR) || '; ' || {_SET}
                         || CAST(t.other_id AS VARCHAR) || ' WHERE cell_id = ' || CAST(t.id AS VARCHAR) || {_SLOWLY}
                         || '; nova-manage cell_v2 delete_cell --cell_uuid ' || t.uuid
                         || ', without --force, which would delete the mappings of servers' || {_RESTART}
               END AS way
          FROM twins t""",
)
