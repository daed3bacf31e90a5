# SPDX-License-Identifier: Apache-2.0
"""A port that its owner created is marked to be deleted with the server.

## What is wrong
The VIF in `network_info` has `preserve_on_delete: false`, but the port shows that it existed before Nova got it: it has
a name, a description, tags, allowed address pairs, a DNS domain, a QoS policy or a trunk (Nova sets none of these), or
it is more than a minute older than both the server and its attachment to it. This is a suspicion, shown with its
evidence.

## Why it matters
The port and its address are lost when the server is deleted or the port detached; nobody notices earlier.

## How it comes about
The cache was empty once and was healed: Nova copies the flag from the old cache, so that after a heal every port has
false. The flag is stored nowhere else, neither in Neutron nor in the request.

## How to see it by hand
`openstack port show <port> -c name -c description -c tags -c created_at`, and the server's `created_at`. The flag
itself is only in `instance_info_caches.network_info`; `stackmend port list --server <server>` shows it.

## Repair and its risk
This flag in the document is set to true, if the document is unchanged since the plan. If the suspicion is wrong, a port
is left over when the server is deleted.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="preserve-on-delete-wrong",
    catalogue="A5",
    severity=Severity.ERROR,
    message="port {port} of server {server} will be deleted with it, although it existed before: {code}",
    codes={
        "name": "it has a name",
        "description": "it has a description",
        "tags": "it has tags",
        "address-pairs": "it has allowed address pairs",
        "qos-policy": "it has a QoS policy",
        "trunk": "it has a trunk",
        "dns-domain": "it has a DNS domain",
        "older": "it is older than the server",
    },
    resource=("port", "port"),
    key=("server", "port"),
    needs=frozenset({"neutron"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_virtual_interfaces": {"uuid": "port"},
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_tags": {"standard_attr_id": "neutron_ports.standard_attr_id"},
        "neutron_allowedaddresspairs": {"port_id": "port"},
        "neutron_qos_port_policy_bindings": {"port_id": "port"},
        "neutron_trunks": {"port_id": "port"},
        "neutron_portdnses": {"port_id": "port"},
    },
    ages={"idle": 600},
    sql="""
        WITH suspects AS (
            SELECT s.uuid, s.cell, s.created_at, p.id AS port, a.created_at AS port_created_at,
                   CASE WHEN p.named THEN 'name'
                        WHEN a.described THEN 'description'
                        WHEN t.standard_attr_id IS NOT NULL THEN 'tags'
                        WHEN x.port_id IS NOT NULL THEN 'address-pairs'
                        WHEN q.port_id IS NOT NULL THEN 'qos-policy'
                        WHEN k.port_id IS NOT NULL THEN 'trunk'
                        WHEN d.port_id IS NOT NULL THEN 'dns-domain'
                        ELSE 'older' END AS code
              FROM idle_servers s
              JOIN nova_vifs v ON v.instance_uuid = s.uuid AND v.cell = s.cell
              JOIN neutron_ports p ON p.id = v.port_id AND p.device_id = s.uuid
              JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
              LEFT JOIN (SELECT DISTINCT standard_attr_id FROM neutron_tags) t
                ON t.standard_attr_id = p.standard_attr_id
              LEFT JOIN (SELECT DISTINCT port_id FROM neutron_allowedaddresspairs) x ON x.port_id = p.id
              LEFT JOIN (SELECT DISTINCT port_id FROM neutron_qos_port_policy_bindings) q ON q.port_id = p.id
              LEFT JOIN (SELECT DISTINCT port_id FROM neutron_trunks) k ON k.port_id = p.id
              LEFT JOIN (SELECT DISTINCT port_id FROM neutron_portdnses WHERE dns_domain <> '') d ON d.port_id = p.id
             WHERE NOT COALESCE(v.preserve_on_delete, FALSE) AND s.changed_at < $idle
               AND p.device_owner LIKE 'compute:%' AND NOT s.in_cell0
               AND (p.named OR a.described OR t.standard_attr_id IS NOT NULL OR x.port_id IS NOT NULL
                    OR q.port_id IS NOT NULL OR k.port_id IS NOT NULL OR d.port_id IS NOT NULL
                    OR a.created_at < s.created_at - INTERVAL 60 SECOND))
        SELECT u.uuid AS server, u.cell, u.port, u.port_created_at, u.created_at AS server_created_at, u.code
          FROM suspects u
          JOIN nova_instance_info_caches c ON c.instance_uuid = u.uuid AND c.cell = u.cell
          LEFT JOIN nova_virtual_interfaces r
            ON r.uuid = u.port AND r.instance_uuid = u.uuid AND NOT COALESCE(r.deleted, FALSE)
         WHERE NOT COALESCE(c.deleted, TRUE)
         GROUP BY u.uuid, u.cell, u.port, u.port_created_at, u.created_at, u.code
        HAVING u.code <> 'older' OR MIN(r.created_at) IS NULL
            OR u.port_created_at < MIN(r.created_at) - INTERVAL 60 SECOND""",
)
