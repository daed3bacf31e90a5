# SPDX-License-Identifier: Apache-2.0
"""Cinder has a volume attached on another host than the one its server is on.

## What is wrong
Nova and Cinder agree about the attachment, but `volume_attachment.attached_host` is not the host of the server, and no
operation is in progress on it.

## Why it matters
The back end gives access to a host that does not run the server. The next start or reboot fails on storage that checks
the host (iSCSI, Fibre Channel, NVMe), and the clean-up of the other host may cut the guest off.

## How it comes about
The server's host was changed in the database, or a migration failed after the server had moved.

## How to see it by hand
`openstack --os-volume-api-version 3.27 volume attachment show <attachment>` and `openstack server show <server> -c
OS-EXT-SRV-ATTR:host`.

## Repair and its risk
A new connector has to be made on the server's host, while the server is stopped: `nova-manage volume_attachment
get_connector` there, then `nova-manage volume_attachment refresh`. It makes a new attachment, and gives the mapping its
id and its connection. Make sure first that the old host no longer runs the guest. To change the text in `attached_host`
alone would hide the problem.
"""

from stackmend.cloud.evidence.sights import disk
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="attached-host-wrong",
    catalogue="H9",
    severity=Severity.WARNING,
    message="Cinder has volume {volume} attached on {attached_host}, but server {server} is on {host}",
    resource=("volume", "volume"),
    key=("volume", "server"),
    sight=disk("host", "attached_host"),
    needs=frozenset({"cells", "cinder"}),
    reads={
        "cinder_volumes": {"id": "volume"},
        "cinder_volume_attachment": {"volume_id": "volume", "instance_uuid": "server"},
        "nova_block_device_mapping": {"volume_id": "volume", "instance_uuid": "server"},
        **idle("server"),
    },
    ages={"grace": 900, "idle": 900},
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-host-unproved": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
    },
    by_hand="check with 'stackmend server where {server}', and on {attached_host}, that no guest there runs it; stop"
    " the server; on {host} run 'nova-manage volume_attachment get_connector --json >connector.json', then"
    " 'nova-manage volume_attachment refresh {server} {volume} connector.json', and start it",
    # two attachments of one pair have a check of their own; hosts are compared without their domain
    sql="""
        WITH single AS (
            SELECT volume_id, instance_uuid, MIN(id) AS id, MIN(attached_host) AS attached_host
              FROM cinder_volume_attachment
             WHERE NOT deleted AND instance_uuid IS NOT NULL
             GROUP BY volume_id, instance_uuid
            HAVING COUNT(*) = 1 AND MIN(attached_host) IS NOT NULL AND MIN(attach_status) = 'attached'
               AND MAX(COALESCE(updated_at, created_at)) < $grace
        )
        SELECT a.volume_id AS volume, a.instance_uuid AS server, MIN(a.id) AS attachment,
               MIN(a.attached_host) AS attached_host, s.host AS host, MIN(v.project_id) AS project
          FROM single a
          JOIN idle_servers s ON s.uuid = a.instance_uuid
          JOIN nova_block_device_mapping b ON b.volume_id = a.volume_id AND b.instance_uuid = a.instance_uuid
                                          AND b.attachment_id = a.id AND b.cell = s.cell
          JOIN cinder_volumes v ON v.id = a.volume_id
         WHERE NOT b.deleted AND NOT v.deleted AND v.status = 'in-use'
           AND COALESCE(v.migration_status, 'success') IN ('success', 'error')
           AND s.host IS NOT NULL AND s.changed_at < $idle AND s.vm_state <> 'resized'
           AND LOWER(split_part(a.attached_host, '.', 1)) <> LOWER(split_part(s.host, '.', 1))
         GROUP BY a.volume_id, a.instance_uuid, s.host""",
)
