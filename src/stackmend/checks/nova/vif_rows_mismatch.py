# SPDX-License-Identifier: Apache-2.0
"""Nova's rows of a server's NICs do not fit its ports.

## What is wrong
A port that is in the server's network cache and in Neutron has no live row in `virtual_interfaces` (`missing`); a live
row stands for a port that neither of them knows (`surplus`); an address has another form than `MAC/port` (`address`,
the bare MAC of old releases for example); or a row is marked deleted with something else than its own id
(`mismarked`, rule RW4). The `code` is the first of these that holds.

## Why it matters
The rows give the NICs their order: at the next rebuild of the cache the guest's NICs may change places. Device tags
are lost. A mismarked row blocks the next deletion mark of the same address, for the key holds address and mark.

## How it comes about
Servers older than Newton that were never migrated, an attach or detach cut short, and SQL from blog posts
(`UPDATE virtual_interfaces SET deleted=1`).

## How to see it by hand
`SELECT id, uuid, address, deleted FROM virtual_interfaces WHERE instance_uuid = '<server>';` beside
`openstack port list --server <server>`.

## Repair and its risk
Missing rows are inserted (they become the last NICs), surplus ones marked deleted with their own id, addresses and
marks put right. Nothing of the guest changes.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="vif-rows-mismatch",
    catalogue="A9",
    severity=Severity.WARNING,
    message=(
        "the rows of the NICs of server {server} do not fit its ports: {missing} missing, {surplus} surplus,"
        " {addresses} with a wrong address, {mismarked} mismarked"
    ),
    resource=("server", "server"),
    key=("server",),
    needs=frozenset({"neutron"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_virtual_interfaces": {"instance_uuid": "server"},
        "neutron_ports": {"device_id": "server"},
    },
    ages={"idle": 600},
    # without a cache that can be read nobody knows which ports are NICs: the checks of the cache come first
    sql="""
        WITH judged AS (
            SELECT s.uuid AS server, s.cell
              FROM idle_servers s
              JOIN nova_instance_info_caches c ON c.instance_uuid = s.uuid AND c.cell = s.cell
             WHERE NOT COALESCE(c.deleted, TRUE) AND c.document IN ('list', 'empty')
               AND s.changed_at < $idle AND NOT s.in_cell0),
        cached AS (
            SELECT DISTINCT j.server, j.cell, v.port_id AS port, p.id AS owned
              FROM judged j
              JOIN nova_vifs v ON v.instance_uuid = j.server AND v.cell = j.cell
              LEFT JOIN neutron_ports p ON p.id = v.port_id AND p.device_id = j.server),
        noted AS (
            SELECT j.server, j.cell, r.uuid AS port, COALESCE(r.mismarked, FALSE) AS mismarked,
                   COALESCE(r.deleted, TRUE) AS deleted, r.address LIKE '%/' || r.uuid AS well_formed,
                   p.id AS owned, c.port AS cached
              FROM judged j
              JOIN nova_virtual_interfaces r ON r.instance_uuid = j.server AND r.cell = j.cell
              LEFT JOIN neutron_ports p ON p.id = r.uuid AND p.device_id = j.server
              LEFT JOIN cached c ON c.server = j.server AND c.cell = j.cell AND c.port = r.uuid),
        problems AS (
            SELECT c.server, c.cell, 'missing' AS code
              FROM cached c
              LEFT JOIN (SELECT DISTINCT server, port FROM noted WHERE NOT deleted OR mismarked) n
                ON n.server = c.server AND n.port = c.port
             WHERE c.owned IS NOT NULL AND n.port IS NULL
            UNION ALL
            SELECT server, cell,
                   CASE WHEN mismarked THEN 'mismarked'
                        WHEN owned IS NULL AND cached IS NULL THEN 'surplus' ELSE 'address' END
              FROM noted
             WHERE mismarked
                OR (NOT deleted AND owned IS NULL AND cached IS NULL)
                OR (NOT deleted AND owned IS NOT NULL AND NOT COALESCE(well_formed, FALSE)))
        SELECT server, cell,
               COUNT(CASE WHEN code = 'missing' THEN 1 END) AS missing,
               COUNT(CASE WHEN code = 'surplus' THEN 1 END) AS surplus,
               COUNT(CASE WHEN code = 'address' THEN 1 END) AS addresses,
               COUNT(CASE WHEN code = 'mismarked' THEN 1 END) AS mismarked,
               CASE WHEN COUNT(CASE WHEN code = 'missing' THEN 1 END) > 0 THEN 'missing'
                    WHEN COUNT(CASE WHEN code = 'surplus' THEN 1 END) > 0 THEN 'surplus'
                    WHEN COUNT(CASE WHEN code = 'address' THEN 1 END) > 0 THEN 'address'
                    ELSE 'mismarked' END AS code
          FROM problems
         GROUP BY server, cell""",
)
