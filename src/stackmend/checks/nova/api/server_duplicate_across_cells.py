# SPDX-License-Identifier: Apache-2.0
"""A server is live in two cells, or in another cell than the one it is mapped to.

## What is wrong
`instances` has a row of the server that is not marked deleted in more than one cell (code `twice`); or in one cell
only, while nova_api maps the server to another (`astray`). A resize between cells is not meant: there one of the rows
is hidden.

## Why it matters
Nova shows, stops and deletes only what the mapped cell has. The other row keeps its host's resources; its host acts on
it, and a deletion of either releases ports and volumes that both have. With `astray` the server is invisible and cannot
be deleted, while its guest may run.

## How it comes about
A resize between cells that failed, a cell's database restored from a dump, or an error of scheduling after which the
server was buried in cell0 although a cell had it already (bug 1806064).

## How to see it by hand
`SELECT uuid, host, vm_state, launched_at, hidden FROM instances WHERE uuid = '<server>' AND deleted = 0;` in each cell,
and `nova-manage cell_v2 verify_instance --uuid <server>`.

## Repair and its risk
None is planned: only the hypervisors show which row is the server. The one with a guest, and with `launched_at`, is
kept. A row without a host can be marked deleted in its cell. A row with a host cannot, as long as that host may have
the guest: nova-compute destroys a guest whose row is marked deleted (rule RW9). Ports, volumes and allocations belong
to the row that is kept: do not release them.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER, idle

CHECK = Check(
    name="server-duplicate-across-cells",
    catalogue="B12",
    severity=Severity.ERROR,
    message="server {server} is live in {lies}, and nova_api maps it to {mapped}: {code}",
    codes={"twice": "it is there {copies} times", "astray": "nova_api looks for it where it is not"},
    resource=("server", "server"),
    key=("server",),
    needs=EVERY_SERVER,
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={**idle(), "nova_api_instance_mappings": {"instance_uuid": "server"}, "nova_api_cell_mappings": {}},
    ages={"idle": 600},
    by_hand="{way}",
    sql="""
        WITH concealed AS (
            SELECT DISTINCT uuid FROM nova_instances WHERE NOT deleted AND hidden
        ), mapped AS (
            SELECT m.instance_uuid, c.cell FROM nova_api_instance_mappings m JOIN cells c ON c.id = m.cell_id
        ), placed AS (
            SELECT s.uuid, s.cell, s.host, s.launched_at, s.changed_at, s.project_id, m.cell AS mapped_to,
                   CASE WHEN NULLIF(s.cell, m.cell) IS NULL THEN 1 ELSE 0 END AS at_home
              FROM servers s
              JOIN mapped m ON m.instance_uuid = s.uuid
              LEFT JOIN concealed h ON h.uuid = s.uuid
             WHERE h.uuid IS NULL
               AND s.uuid NOT IN (SELECT v.instance_uuid FROM moves v WHERE v.instance_uuid IS NOT NULL)
               AND s.uuid NOT IN (SELECT a.uuid FROM acting_servers a WHERE a.uuid IS NOT NULL)
        ), suspects AS (
            SELECT uuid, COUNT(cell) AS copies
              FROM placed
             GROUP BY uuid
            HAVING (COUNT(cell) > 1 OR SUM(at_home) = 0) AND MAX(changed_at) < $idle
        ), described AS (
            SELECT p.uuid, t.copies, MIN(p.project_id) AS project, MIN(p.mapped_to) AS mapped,
                   STRING_AGG(p.cell || CASE WHEN p.host IS NULL THEN '' ELSE ' on ' || p.host END, ' and '
                              ORDER BY p.cell) AS lies
              FROM suspects t
              JOIN placed p ON p.uuid = t.uuid
             GROUP BY p.uuid, t.copies
        )
        SELECT uuid AS server, project, mapped, copies, lies,
               CASE WHEN copies > 1 THEN 'twice' ELSE 'astray' END AS code,
               CASE WHEN copies > 1
                    THEN 'look for the guest on the hosts (virsh list --all --uuid). If a row without a host is the one'
                         || ' too many, mark it deleted in its cell: UPDATE instances SET deleted = id, deleted_at ='
                         || ' UTC_TIMESTAMP() WHERE uuid = ''' || uuid || ''' AND host IS NULL AND deleted = 0. Never'
                         || ' do that to a row whose host has the guest: nova-compute would destroy it'
                    ELSE 'if no other cell should have it, map it to where it is: UPDATE nova_api.instance_mappings SET'
                         || ' cell_id = (the id of that cell in cell_mappings) WHERE instance_uuid = ''' || uuid || ''''
               END AS way
          FROM described""",
)
