# SPDX-License-Identifier: Apache-2.0
"""Nova and Cinder record different connections of the same volume attachment.

## What is wrong
Nova keeps a copy of the `connection_info` of each attached volume in `block_device_mapping`. It leads elsewhere than
Cinder's own in `volume_attachment`: another portal, target, LUN, image, monitor or export.

## Why it matters
Nova uses its copy when a guest is started, rebooted hard or moved: it does not reach the volume any more, or, if the
LUN was given to another volume since, it opens that one.

## How it comes about
The address of a back end changed and the attachment was renewed in Cinder alone; a swap of the volume or the rollback
of a live migration failed half way and left the copy of the other volume or host (bug 1943431).

## How to see it by hand
`nova-manage volume_attachment show <server> <volume>`, beside `openstack --os-volume-api-version 3.27 volume attachment
show <attachment>`.

## Repair and its risk
Stop the server, then let Nova renew the attachment and its copy: `nova-manage volume_attachment refresh`. Never replace
the copy of a running server. Both documents hold secrets and are not kept: while they are read, each is reduced to a
digest of where it leads. Compared are iSCSI, RBD and NFS. If both copies are equal and both are out of date, because
the address of the monitors changed, nothing is found: renew all attachments then.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="connection-info-stale",
    catalogue="H27",
    severity=Severity.ERROR,
    message="server {server} would reach volume {volume} elsewhere than Cinder says in attachment {attachment}",
    resource=("server", "server"),
    key=("server", "volume", "attachment"),
    needs=frozenset({"cells", "cinder"}),
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={
        **idle(),
        "nova_connections": {"attachment_id": "attachment"},
        "cinder_connections": {"id": "attachment"},
        "cinder_volumes": {"id": "volume"},
    },
    ages={"idle": 900},
    explained_by={"attachment-id-mismatch": {"volume": "volume", "server": "server"}},
    by_hand="stop server {server}; on {host} run 'nova-manage volume_attachment get_connector --json >connector.json',"
    " then 'nova-manage volume_attachment refresh {server} {volume} connector.json', and start the server",
    # NULLIF: where one of them does not say where it leads, there is nothing to compare
    sql="""
        WITH differ AS (
            SELECT n.cell, n.instance_uuid, n.volume_id, n.attachment_id
              FROM nova_connections n
              JOIN cinder_connections c ON c.id = n.attachment_id AND c.volume_id = n.volume_id
                   AND c.instance_uuid = n.instance_uuid
             WHERE c.leads_to IS NOT NULL AND NULLIF(n.leads_to, c.leads_to) IS NOT NULL
        )
        SELECT s.uuid AS server, s.cell, s.host, d.volume_id AS volume, d.attachment_id AS attachment
          FROM differ d
          JOIN idle_servers s ON s.uuid = d.instance_uuid AND s.cell = d.cell
          JOIN cinder_volumes v ON v.id = d.volume_id
         WHERE s.host IS NOT NULL AND s.vm_state NOT IN ('resized', 'deleted', 'shelved_offloaded')
           AND s.changed_at < $idle AND NOT v.deleted AND v.status = 'in-use'
           AND COALESCE(v.migration_status, 'success') IN ('success', 'error')""",
)
