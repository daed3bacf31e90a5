# SPDX-License-Identifier: Apache-2.0
"""Nova's rows of a server's NICs do not fit its ports.

## What is wrong
A port that is in the server's network cache and in Neutron has no live row in `virtual_interfaces` (`missing`), a
live row stands for a port that neither of them knows (`surplus`), a row has the bare MAC as its address in place of
`MAC/port` (`bare-address`), or a row is marked deleted with something else than its own id (`mismarked`, rule RW4).

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
    message="server {server}: the row for port {port} in virtual_interfaces is {code}",
    resource=("server", "server"),
    key=("server", "port", "row_id"),
    needs=frozenset({"neutron"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_virtual_interfaces": {"instance_uuid": "server"},
        "neutron_ports": {"device_id": "server"},
    },
    ages={"idle": 600},
    sql="""
        WITH wanted AS (
            SELECT DISTINCT s.uuid AS server, s.cell, p.id AS port, p.mac_address AS mac
              FROM idle_servers s
              JOIN nova_vifs v ON v.instance_uuid = s.uuid AND v.cell = s.cell
              JOIN neutron_ports p ON p.id = v.port_id AND p.device_id = s.uuid
             WHERE s.changed_at < $idle AND NOT s.in_cell0),
        found AS (
            SELECT s.uuid AS server, s.cell, r.id AS row_id, r.uuid AS port, r.address, r.mismarked,
                   COALESCE(r.deleted, FALSE) AS deleted, p.id AS owned, v.port_id AS cached
              FROM idle_servers s
              JOIN nova_virtual_interfaces r ON r.instance_uuid = s.uuid AND r.cell = s.cell
              LEFT JOIN neutron_ports p ON p.id = r.uuid AND p.device_id = s.uuid
              LEFT JOIN (SELECT DISTINCT instance_uuid, cell, port_id FROM nova_vifs) v
                ON v.port_id = r.uuid AND v.instance_uuid = s.uuid AND v.cell = s.cell
             WHERE s.changed_at < $idle AND NOT s.in_cell0)
        SELECT w.server, w.cell, w.port, 0 AS row_id, w.mac, 'missing' AS code
          FROM wanted w
          LEFT JOIN (SELECT DISTINCT server, port FROM found WHERE NOT deleted OR mismarked) f
            ON f.server = w.server AND f.port = w.port
         WHERE f.port IS NULL
        UNION ALL
        SELECT server, cell, COALESCE(port, 'none'), row_id, address,
               CASE WHEN mismarked THEN 'mismarked'
                    WHEN owned IS NULL AND cached IS NULL THEN 'surplus' ELSE 'bare-address' END
          FROM found
         WHERE mismarked
            OR (NOT deleted AND ((owned IS NULL AND cached IS NULL)
                                 OR (owned IS NOT NULL AND address NOT LIKE '%/%')))""",
)
