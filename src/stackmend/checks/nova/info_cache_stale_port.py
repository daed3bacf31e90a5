# SPDX-License-Identifier: Apache-2.0
"""A server's network cache lists a port that no longer belongs to the server.

## What is wrong
`network_info` contains a VIF whose port does not exist in Neutron, or has another `device_id` there.

## Why it matters
A reboot or migration fails on the missing port, or plugs an interface that nothing serves; `server show` lists an
address that may now belong to another server.

## How it comes about
The port was deleted while nova-compute or the message bus was down, and the `network-vif-deleted` event was lost. Or
Neutron lost it: rows deleted by SQL, a database restored from an older dump, while the guest runs on with its NIC.
Nova 34 and later keep a vanished port on purpose until it is unplugged (bug 2151837).

## How to see it by hand
`openstack server show <server>`, then `openstack port show <port>` for each port: one is not found or is another's.
`virsh domiflist` on its host shows whether the guest still has the NIC.

## Repair and its risk
A port that Neutron has assigned to another device, or to none, is removed from the cache (`drop-stale-vif`).

For one that is `gone` there are two ways, and no row in any database shows which is right: `restore-port` re-creates it
with the id, MAC and addresses in the cache, `drop-stale-vif` removes it from the cache. The operator chooses (`plan
create --repair`) after checking the guest. If several servers of a host have lost all their ports, neither is done,
because Neutron's database then looks older than Nova's.
"""

from stackmend.cloud.evidence.sights import nic
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="info-cache-stale-port",
    catalogue="A3",
    severity=Severity.ERROR,
    message="the network cache of server {server} lists port {port}, which {code}",
    codes={
        "gone": "Neutron does not have",
        "not of this server": "belongs to another device, or to none",
    },
    resource=("server", "server"),
    key=("server", "port"),
    sight=nic("host"),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "nova_vifs": {"instance_uuid": "server"},
        "neutron_ports": {"id": "port"},
    },
    ages={"idle": 600},
    sql="""
        WITH stale AS (
            SELECT v.instance_uuid, v.cell, v.port_id, v.address,
                   CASE WHEN p.id IS NULL THEN 'gone' ELSE 'not of this server' END AS code
              FROM nova_vifs v
              LEFT JOIN neutron_ports p ON p.id = v.port_id
             WHERE p.id IS NULL OR NULLIF(p.device_id, v.instance_uuid) IS NOT NULL)
        SELECT DISTINCT s.uuid AS server, s.cell, s.host, v.port_id AS port, v.address, v.code
          FROM stale v
          JOIN idle_servers s ON s.uuid = v.instance_uuid AND s.cell = v.cell
          JOIN nova_instance_info_caches c ON c.instance_uuid = s.uuid AND c.cell = s.cell
         WHERE NOT COALESCE(c.deleted, TRUE)
           AND s.vm_state <> 'deleted' AND NOT s.in_cell0 AND s.changed_at < $idle
           AND COALESCE(c.updated_at, c.created_at) < $idle""",
)
