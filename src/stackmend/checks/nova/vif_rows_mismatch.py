# SPDX-License-Identifier: Apache-2.0
"""Nova's `virtual_interfaces` rows of a server do not match its ports.

## What is wrong
The `code` is the first of these that applies:

- `missing`: a port that is in the server's network cache and in Neutron has no live row in `virtual_interfaces`;
- `surplus`: a live row refers to an existing port that is the server's neither in its cache nor in Neutron;
- `address`: an address is not in the form `MAC/port`, for example the bare MAC of old releases;
- `mismarked`: a row is marked deleted with a value other than its own id (rule RW4);
- `leftover`: a live row refers to a deleted port.

## Why it matters
The rows define the order of the NICs: if one is missing, the guest's NICs may change places at the next rebuild of the
cache, and its device tag is lost. A surplus row occupies the only place that the key (address and mark) has for the
port: the next attach of that port to any server of the cell fails (HTTP 500, `VirtualInterfaceCreateException`, seen on
Nova 34). A mismarked row blocks the next deletion mark of the same address.

A leftover does no harm to the server: Nova looks rows up by the ports in Neutron, and marks all of them deleted with
the server. Only a new port with the same MAC would show the old one's device tag, and `nova-manage db
online_data_migrations` skips the server.

## How it comes about
Servers older than Newton that were never migrated, an attach or detach cut short, and SQL from blog posts (`UPDATE
virtual_interfaces SET deleted=1`). Leftovers come with every port that is deleted in Neutron while it is attached: at
the event `network-vif-deleted` Nova removes the NIC from the guest and from the cache, but leaves the row.

## How to see it by hand
`SELECT id, uuid, address, deleted FROM virtual_interfaces WHERE instance_uuid = '<server>';` beside `openstack port
list --server <server>`.

## Repair and its risk
Missing rows are inserted (they become the last NICs), surplus rows and leftovers are marked deleted with their own id,
addresses and marks are corrected. The guest does not change. The repair needs consent by name: if Neutron lost a port,
the row is the last record of a NIC that the guest may still have. A port without a row may be the leftover of a failed
build that Nova's healer has added to the cache: `extra-ports-on-server` then reports it, and this finding is counted
under it.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="vif-rows-mismatch",
    catalogue="A9",
    severity=Severity.WARNING,
    message=(
        "the virtual_interfaces rows of server {server} do not match its ports: {missing} missing, {surplus} surplus,"
        " {addresses} with a wrong address, {mismarked} wrongly marked deleted, {leftovers} left from deleted ports"
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
        # every port has a binding, whatever its device
        "neutron_ml2_port_bindings": {"port_id": "nova_virtual_interfaces.uuid"},
    },
    ages={"idle": 600},
    # a leftover that Nova's healer has added to the cache has no row and must not get one
    explained_by={"extra-ports-on-server": {"server": "server"}},
    # without a readable cache it is unknown which ports are NICs: the checks of the cache come first
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
