# SPDX-License-Identifier: Apache-2.0
"""Nova's rows of a server's NICs do not match its ports.

## What is wrong
The `code` is the first of these that holds:

- `missing`: a port that is in the server's network cache and in Neutron has no live row in `virtual_interfaces`;
- `surplus`: a live row stands for a port that is there, but is not the server's by its cache nor by Neutron;
- `address`: an address has another form than `MAC/port`, the bare MAC of old releases for example;
- `mismarked`: a row is marked deleted with something else than its own id (rule RW4);
- `leftover`: a live row stands for a port that is deleted.

## Why it matters
The rows give the NICs their order: where one is missing, the guest's NICs may change places at the next rebuild of the
cache, and its device tag is lost. A surplus row has the one place that the key (address and mark) has for the port: the
next attach of that port to any server of the cell fails (HTTP 500, `VirtualInterfaceCreateException`, seen on Nova 34).
A mismarked row blocks the next deletion mark of the same address.

A leftover does no harm to the server: Nova looks rows up by the ports that Neutron has, and marks all of them deleted
with the server. Only a new port with the same MAC would show the old one's device tag, and `nova-manage db
online_data_migrations` passes the server over.

## How it comes about
Servers older than Newton that were never migrated, an attach or detach cut short, and SQL from blog posts
(`UPDATE virtual_interfaces SET deleted=1`). Leftovers come with every port that is deleted in Neutron while it is
attached: at the event `network-vif-deleted` Nova takes the NIC from the guest and from the cache, and leaves the row.

## How to see it by hand
`SELECT id, uuid, address, deleted FROM virtual_interfaces WHERE instance_uuid = '<server>';` beside
`openstack port list --server <server>`.

## Repair and its risk
Missing rows are inserted (they become the last NICs), surplus ones and leftovers marked deleted with their own id,
addresses and marks put right. Nothing of the guest changes. It wants consent by name: where Neutron lost a port, the
row is the last record of a NIC that the guest may still have. A port without a row may be the leftover of a failed
build that Nova's healer has put into the cache: then `extra-ports-on-server` says so, and this finding is counted with
it."""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="vif-rows-mismatch",
    catalogue="A9",
    severity=Severity.WARNING,
    message=(
        "the rows of the NICs of server {server} do not fit its ports: {missing} missing, {surplus} surplus,"
        " {addresses} with a wrong address, {mismarked} wrongly marked deleted, {leftovers} left of deleted ports"
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
        # every port has one, whoever has the port
        "neutron_ml2_port_bindings": {"port_id": "nova_virtual_interfaces.uuid"},
    },
    ages={"idle": 600},
    # a leftover that Nova's healer has put into the cache has no row, and must not get one
    explained_by={"extra-ports-on-server": {"server": "server"}},
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
                   CASE WHEN p.id IS NOT NULL THEN u.if_owned
                        WHEN u.if_not_owned = 'surplus' AND e.port_id IS NULL THEN 'leftover'
                        ELSE u.if_not_owned END AS code
              FROM suspects u
              JOIN idle_servers s ON s.uuid = u.server AND s.cell = u.cell
              JOIN nova_instance_info_caches c ON c.instance_uuid = s.uuid AND c.cell = s.cell
              LEFT JOIN neutron_ports p ON p.id = u.port AND p.device_id = u.server
              LEFT JOIN (SELECT DISTINCT port_id FROM neutron_ml2_port_bindings
                          WHERE port_id IN (SELECT port FROM suspects WHERE if_not_owned = 'surplus')) e
                ON e.port_id = u.port
             WHERE NOT COALESCE(c.deleted, TRUE) AND c.document IN ('list', 'empty')
               AND s.changed_at < $idle AND NOT s.in_cell0)
        SELECT server, cell,
               COUNT(CASE WHEN code = 'missing' THEN 1 END) AS missing,
               COUNT(CASE WHEN code = 'surplus' THEN 1 END) AS surplus,
               COUNT(CASE WHEN code = 'address' THEN 1 END) AS addresses,
               COUNT(CASE WHEN code = 'mismarked' THEN 1 END) AS mismarked,
               COUNT(CASE WHEN code = 'leftover' THEN 1 END) AS leftovers,
               CASE WHEN COUNT(CASE WHEN code = 'missing' THEN 1 END) > 0 THEN 'missing'
                    WHEN COUNT(CASE WHEN code = 'surplus' THEN 1 END) > 0 THEN 'surplus'
                    WHEN COUNT(CASE WHEN code = 'address' THEN 1 END) > 0 THEN 'address'
                    WHEN COUNT(CASE WHEN code = 'mismarked' THEN 1 END) > 0 THEN 'mismarked'
                    ELSE 'leftover' END AS code
          FROM problems
         WHERE code IS NOT NULL
         GROUP BY server, cell""",
)
