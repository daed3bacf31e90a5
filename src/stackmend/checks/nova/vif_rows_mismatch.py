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
        WITH suspects AS (
            SELECT DISTINCT COALESCE(v.instance_uuid, r.instance_uuid) AS server, COALESCE(v.cell, r.cell) AS cell,
                   COALESCE(v.port_id, r.uuid) AS port, r.id AS row_id,
                   CASE WHEN r.id IS NULL THEN 'missing' WHEN r.mismarked THEN 'mismarked'
                        WHEN NOT r.well_formed THEN 'address' END AS if_owned,
                   CASE WHEN r.mismarked THEN 'mismarked'
                        WHEN r.id IS NOT NULL AND v.port_id IS NULL THEN 'surplus' END AS if_not_owned
              FROM nova_vifs v
              FULL JOIN (SELECT id, cell, instance_uuid, uuid, COALESCE(mismarked, FALSE) AS mismarked,
                                COALESCE(address LIKE '%/' || uuid, FALSE) AS well_formed
                           FROM nova_virtual_interfaces
                          WHERE NOT COALESCE(deleted, TRUE) OR COALESCE(mismarked, FALSE)) r
                ON r.uuid = v.port_id AND r.instance_uuid = v.instance_uuid AND r.cell = v.cell
             WHERE r.id IS NULL OR v.port_id IS NULL OR r.mismarked OR NOT r.well_formed),
        problems AS (
            SELECT s.uuid AS server, s.cell,
                   CASE WHEN p.id IS NULL THEN u.if_not_owned ELSE u.if_owned END AS code
              FROM suspects u
              JOIN idle_servers s ON s.uuid = u.server AND s.cell = u.cell
              JOIN nova_instance_info_caches c ON c.instance_uuid = s.uuid AND c.cell = s.cell
              LEFT JOIN neutron_ports p ON p.id = u.port AND p.device_id = u.server
             WHERE NOT COALESCE(c.deleted, TRUE) AND c.document IN ('list', 'empty')
               AND s.changed_at < $idle AND NOT s.in_cell0)
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
         WHERE code IS NOT NULL
         GROUP BY server, cell""",
)
