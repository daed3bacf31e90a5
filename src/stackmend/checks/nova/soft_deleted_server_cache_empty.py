# SPDX-License-Identifier: Apache-2.0
"""The network cache of a soft-deleted server is empty although Neutron has ports for it.

## What is wrong
A server that can still be restored (`vm_state` `soft-delete`) has an empty, NULL or broken `network_info`, while ports
with its id as `device_id` exist in its own project.

## Why it matters
When nova-compute reclaims the server (`reclaim_instance_interval`), it deletes every port in Neutron that the cache
does not mark to be kept. With an empty cache these are all ports, including those the customer created beforehand, with
their addresses. If restored, the server starts without a NIC at the next hard reboot.

## How it comes about
As with any server (`info-cache-empty`): a refresh met a failing Neutron before the server was deleted.

## How to see it by hand
`openstack server list --deleted --status SOFT_DELETED --all-projects`, then `openstack port list --server <server>` and
`SELECT network_info FROM instance_info_caches WHERE instance_uuid = '<server>' AND deleted = 0;`

## Repair and its risk
The document is rebuilt from Neutron. The customer's ports are deduced, and a doubtful port is kept: it is then left
over when the server is reclaimed. This must be done before nova-compute reclaims the server.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="soft-deleted-server-cache-empty",
    catalogue="A1",
    severity=Severity.WARNING,
    message="the network cache of soft-deleted server {server} is {document}: reclaiming it deletes {ports} port(s)",
    resource=("server", "server"),
    key=("server",),
    needs=frozenset({"neutron"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "neutron_ports": {"device_id": "server"},
    },
    ages={"idle": 600},
    sql="""
        SELECT s.uuid AS server, s.cell, s.host, s.vm_state, c.document, COUNT(p.id) AS ports
          FROM idle_servers s
          JOIN nova_instance_info_caches c ON c.instance_uuid = s.uuid AND c.cell = s.cell
          JOIN neutron_ports p ON p.device_id = s.uuid AND p.project_id = s.project_id
         WHERE s.vm_state = 'soft-delete' AND NOT s.in_cell0 AND s.changed_at < $idle
           AND NOT COALESCE(c.deleted, TRUE) AND (c.document IN ('empty', 'null', 'invalid') OR c.vifs = 0)
           AND (p.device_owner LIKE 'compute:%' OR p.device_owner = 'baremetal:none')
         GROUP BY s.uuid, s.cell, s.host, s.vm_state, c.document""",
)
