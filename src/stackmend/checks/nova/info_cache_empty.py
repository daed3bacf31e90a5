# SPDX-License-Identifier: Apache-2.0
"""A server's network cache is empty although Neutron has ports for it.

## What is wrong
`instance_info_caches.network_info` of a live server is `[]`, empty, NULL or not JSON, while ports with its id as
`device_id` exist in its own project. A server that was created without a NIC has no ports and is fine.

## Why it matters
The guest still works, but a hard reboot starts it without a NIC. Deleting the server deletes *all* its ports, including
those that the customer created beforehand, with their addresses, because only the cache says which ones to keep. The
metadata service and `server show` have no address.

## How it comes about
A refresh that met a failing Neutron or a policy mistake, a host reboot, a failed shelve or evacuation (bug 1751923).
Since Nova 31 (2025.1) the periodic task that would rebuild it is disabled (bug 1996094), so the cache stays empty; a
`network-changed` event does not fill it either.

## How to see it by hand
`openstack server show <server>` without addresses, `openstack port list --server <server>` with ports.
`SELECT network_info FROM instance_info_caches WHERE instance_uuid = '<server>' AND deleted = 0;`

## Repair and its risk
The document is rebuilt from Neutron exactly as Nova would, and written under a guard. No record shows any more which
ports the customer created: this is deduced, and a doubtful port is kept (an extra port can be deleted; a lost address
cannot be recovered). Until then, neither delete the server nor hard-reboot it.

A guest that was started meanwhile has no NICs. `stackmend plan create --check info-cache-empty --server <server>
--repair reattach-ports --allow-db` attaches its ports again while it runs. If nothing else helps, `stackmend server
recreate <server> --keep-ports` deletes the server and makes it again with the same addresses. Plans name both commands
with the server's id; neither is done unless you ask for it.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="info-cache-empty",
    catalogue="A1",
    severity=Severity.ERROR,
    message="the network cache of server {server} is {document}, but Neutron has {ports} port(s) for it",
    resource=("server", "server"),
    key=("server",),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "neutron_ports": {"device_id": "server"},
    },
    otherwise=(
        "if the guest came up without NICs: 'stackmend plan create --check info-cache-empty --server {server} --repair"
        " reattach-ports --allow-db'; if nothing else helps: 'stackmend server recreate {server} --keep-ports', which"
        " keeps its addresses"
    ),
    ages={"idle": 600},
    # in ERROR without a host: a failed build; nothing ever ran and nothing needs to be kept
    sql="""
        SELECT s.uuid AS server, s.cell, s.host, s.vm_state, c.document, COUNT(p.id) AS ports
          FROM idle_servers s
          JOIN nova_instance_info_caches c ON c.instance_uuid = s.uuid AND c.cell = s.cell
          JOIN neutron_ports p ON p.device_id = s.uuid AND p.project_id = s.project_id
         WHERE NOT COALESCE(c.deleted, TRUE) AND (c.document IN ('empty', 'null', 'invalid') OR c.vifs = 0)
           AND (p.device_owner LIKE 'compute:%' OR p.device_owner = 'baremetal:none')
           AND s.vm_state NOT IN ('deleted', 'soft-delete') AND NOT s.in_cell0 AND s.changed_at < $idle
           AND NOT (s.vm_state = 'error' AND s.host IS NULL)
         GROUP BY s.uuid, s.cell, s.host, s.vm_state, c.document""",
)
