# SPDX-License-Identifier: Apache-2.0
"""A port has the id of a server but is not one of its NICs: the leftover of a failed build.

## What is wrong
A port has the server's id, but nothing else makes it one of the server's NICs: it has no row in `virtual_interfaces`,
and it is not in use on the server's host. It is `unlisted` if the network cache does not have it either. It is
`adopted` if Nova's healer has added it to the cache since: it was created during the build of the server, it is DOWN
while the server runs or is bound to another host, and Nova has rows for the server's other NICs.

## Why it matters
It uses an address and quota, and a forced heal of the cache *adopts* it: the server then seems to have one more NIC
than was requested, and only the hypervisor can show the difference.

## How it comes about
A build fails on one host after its ports were created (an image that one Glance node does not have, for example), the
server is scheduled to another host and gets new ports, and the cleanup of the first ones fails or the compute host dies
in between (bugs 1609526, 2134375).

## How to see it by hand
`openstack port list --server <server>` lists more ports than `openstack server show <server>` has addresses; the extra
one is DOWN or bound to another host, and was created between the server's `created_at` and `launched_at`.

## Repair and its risk
An `unlisted` port that Nova created for the failed build is deleted; one that its owner created, and every doubtful
one, is only freed (`device_id` cleared, unbound). The address of a deleted port returns to the pool.

An `adopted` port is left to a human, because only the guest shows whether it is a NIC: check whether `virsh domiflist`
on its host lists its MAC. If it does not, run `openstack server remove port <server> <port>`. Until then the server's
`virtual_interfaces` rows are left alone, because a row of its own would make the leftover a NIC for good.
"""

from stackmend.cloud.evidence.sights import nic
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="extra-ports-on-server",
    catalogue="A8",
    severity=Severity.WARNING,
    message="port {port} has the id of server {server} but is not one of its NICs: {code}",
    codes={
        "unlisted": "it is bound to {port_host}, and the server's network cache does not list it",
        "adopted": "it is bound to {port_host}, and Nova's periodic heal has added it to the server's network cache",
    },
    resource=("port", "port"),
    key=("server", "port"),
    sight=nic("host", "port_host"),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_virtual_interfaces": {"instance_uuid": "server"},
        "neutron_ports": {"id": "port"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_trunks": {"port_id": "port"},
        "neutron_subports": {"port_id": "port"},
    },
    ages={"idle": 600},
    # if the cache is empty, or lists the leftover, other NICs of the server must be known by their rows: if all rows
    # are lost, the absence of one proves nothing
    sql="""
        WITH unnoted AS (
            SELECT s.uuid AS server, s.cell, p.id AS port
              FROM idle_servers s
              JOIN neutron_ports p ON p.device_id = s.uuid
              LEFT JOIN (SELECT uuid, instance_uuid, cell FROM nova_virtual_interfaces
                          WHERE NOT COALESCE(deleted, FALSE)) r
                ON r.uuid = p.id AND r.instance_uuid = s.uuid AND r.cell = s.cell
             WHERE r.uuid IS NULL
               AND p.device_owner LIKE 'compute:%' AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')
               AND s.launched_at IS NOT NULL AND NOT s.in_cell0 AND s.changed_at < $idle),
        ports AS (
            SELECT n.server, n.cell, n.port, p.project_id, p.status, p.admin_state_up, p.standard_attr_id,
                   v.port_id IS NOT NULL AS listed
              FROM unnoted n
              JOIN neutron_ports p ON p.id = n.port
              LEFT JOIN nova_vifs v ON v.port_id = n.port AND v.instance_uuid = n.server AND v.cell = n.cell),
        judged AS (
            SELECT s.uuid AS server, s.cell, s.host, p.port, p.status, b.host AS port_host,
                   CASE WHEN p.listed THEN 'adopted' ELSE 'unlisted' END AS code,
                   (p.status = 'ACTIVE' AND COALESCE(b.host, '') = COALESCE(s.host, '')) AS works,
                   (s.host IS NOT NULL AND COALESCE(b.host, '') <> s.host) AS elsewhere,
                   (s.power_state = 1 AND p.admin_state_up AND p.status <> 'ACTIVE') AS dead,
                   (a.created_at BETWEEN s.created_at - INTERVAL 60 SECOND AND s.launched_at + INTERVAL 60 SECOND)
                     AS of_build,
                   c.vifs > 0 AS filled, o.instance_uuid IS NOT NULL AS others
              FROM ports p
              JOIN servers s ON s.uuid = p.server AND s.cell = p.cell AND s.project_id = p.project_id
              JOIN nova_instance_info_caches c ON c.instance_uuid = p.server AND c.cell = p.cell
              JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
              LEFT JOIN (SELECT DISTINCT instance_uuid, cell FROM nova_virtual_interfaces
                          WHERE NOT COALESCE(deleted, FALSE)) o ON o.instance_uuid = p.server AND o.cell = p.cell
              LEFT JOIN neutron_ml2_port_bindings b ON b.port_id = p.port AND b.status = 'ACTIVE'
              LEFT JOIN neutron_trunks k ON k.port_id = p.port
              LEFT JOIN neutron_subports u ON u.port_id = p.port
             WHERE NOT COALESCE(c.deleted, TRUE) AND k.port_id IS NULL AND u.port_id IS NULL
               AND COALESCE(a.updated_at, a.created_at) < $idle)
        SELECT server, cell, host, port, status, code, MAX(port_host) AS port_host
          FROM judged
         WHERE NOT works
           AND CASE WHEN code = 'adopted' THEN others AND of_build AND (elsewhere OR dead)
                    ELSE filled OR (others AND elsewhere) END
         GROUP BY server, cell, host, port, status, code""",
)
