# SPDX-License-Identifier: Apache-2.0
"""A port belongs to a server that no longer exists.

## What is wrong
The owner of the port is Nova (`compute:<zone>`), and its `device_id` is the uuid of a server that is marked deleted
(`deleted`) or that no cell knows (`unknown`).

## Why it matters
The address and the quota stay in use, and the port cannot be attached again.

## How it comes about
A server was deleted while Neutron was down or its host was dead, the cleanup of a failed build did not complete (bugs
1609526, 2134375), or the server was deleted by SQL.

## How to see it by hand
`openstack port show <port> -c device_id -c device_owner`, then `openstack server show <device_id>`: "No server".

## Repair and its risk
A port that its owner created, and every doubtful one, is freed: it is unbound, its `device_id` is cleared, and its
address kept. A port that Nova created is deleted and its address released. Nothing is concluded unless every cell has
answered.
"""

from stackmend.cloud.evidence.sights import nic
from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER, LOST, MARKED, existence

CHECK = Check(
    name="port-without-server",
    catalogue="A7",
    severity=Severity.ERROR,
    message="port {port} belongs to server {server}, which {code}",
    codes={
        "deleted": "is deleted",
        "unknown": "no cell knows",
    },
    resource=("port", "port"),
    key=("port",),
    sight=nic(),
    needs=EVERY_SERVER | {"neutron"},
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "nova_api_aggregate_metadata": {},
        **existence("neutron_ports.device_id"),
    },
    untold={"unknown": LOST.format("{server}"), "deleted": MARKED.format("{server}")},
    ages={"grace": 3600},
    # first decide whether the server should be deleted at all: its guest may be alive
    explained_by={"server-deleted-incompletely": {"server": "server"}},
    sql="""
        WITH strays AS (
            SELECT p.id, p.device_id, p.device_owner, p.status, p.standard_attr_id
              FROM neutron_ports p
              LEFT JOIN existing_servers e ON e.uuid = p.device_id
             WHERE e.uuid IS NULL AND p.device_owner LIKE 'compute:%'
               AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')
               AND p.device_id LIKE '________-____-____-____-____________')
        SELECT p.id AS port, p.device_id AS server, p.device_owner, p.status,
               CASE WHEN MAX(d.uuid) IS NOT NULL THEN 'deleted' ELSE 'unknown' END AS code
          FROM strays p
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
          LEFT JOIN deleted_servers d ON d.uuid = p.device_id
          LEFT JOIN (SELECT DISTINCT 'compute:' || value AS owner FROM nova_api_aggregate_metadata) z
            ON z.owner = p.device_owner
         WHERE (d.uuid IS NOT NULL OR z.owner IS NOT NULL
                OR p.device_owner IN ('compute:nova', 'compute:None', 'compute:'))
           AND a.created_at < $grace AND COALESCE(a.updated_at, a.created_at) < $grace
         GROUP BY p.id, p.device_id, p.device_owner, p.status""",
)
