# SPDX-License-Identifier: Apache-2.0
"""The guest of an active server runs without a NIC or volume that Nova and the owning service say it has.

## What is wrong
The domain runs where Nova says, and nowhere else. Code `nic`: Nova's network cache and Neutron both give the server a
port, and no interface of the domain has its MAC address; `volume`: Nova has the volume mapped and Cinder has it
attached, and no disk of the domain has its serial.

## Why it matters
The server cannot be reached at that address, or its file system is missing, while every list shows it as attached. A
detach "succeeds", because Nova tolerates that there is nothing to detach.

## How it comes about
The guest was started while its network cache was empty or Cinder did not show the volume; an attach failed half way;
somebody used `virsh detach-interface`.

## How to see it by hand
`virsh --readonly domiflist <server>` and `virsh --readonly dumpxml <server> | grep serial` on its host, beside
`openstack port list --server <server>` and `openstack server volume list <server>`.

## Repair and its risk
By hand: `openstack server reboot --hard` defines the guest anew from Nova's records, which have the device; it is an
outage for its owner. Not while another finding about the server's network cache or volumes is open: the guest would be
defined from wrong records. Without an outage: detach the device and attach it again, if nothing else of it is in use; a
hot-plug that AppArmor forbids is another case (`stackmend server apparmor`).
"""

from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import idle

OUTSIDE_CHECK = OutsideCheck(
    name="domain-definition-drift",
    catalogue="F2",
    severity=Severity.WARNING,
    message="the guest of server {server} on {host} runs without {code}",
    codes={"nic": "the NIC of port {device}", "volume": "volume {device}"},
    resource=("server", "server"),
    key=("server", "device"),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_block_device_mapping": {"instance_uuid": "server"},
        "neutron_ports": {"device_id": "server"},
        "neutron_ml2_port_bindings": {"port_id": "neutron_ports.id"},
        "cinder_volume_attachment": {"instance_uuid": "server"},
        "host_domains": {"uuid": "server"},
        "host_interfaces": {"uuid": "server"},
        "host_disks": {"uuid": "server"},
    },
    ages={"idle": 900},
    explained_by={"domain-on-two-hosts": {"server": "server"}, "server-wrong-host": {"server": "server"}},
    by_hand=(
        "see that no other finding is about the network cache or the volumes of {server}; then, as an outage for its"
        " owner: openstack server reboot --hard {server}"
    ),
    sql="""
        WITH running AS (
            SELECT s.uuid, s.cell, s.host
              FROM idle_servers s
              JOIN (SELECT uuid, MIN(host) AS host, MAX(CASE WHEN runs THEN 1 ELSE 0 END) AS runs
                      FROM host_domains GROUP BY uuid HAVING COUNT(*) = 1) d ON d.uuid = s.uuid AND d.host = s.host
             WHERE d.runs = 1 AND s.vm_state = 'active' AND s.changed_at < $idle),
        nics AS (
            SELECT r.uuid, r.cell, r.host, p.id AS device
              FROM running r
              JOIN neutron_ports p ON p.device_id = r.uuid
              JOIN nova_vifs v ON v.port_id = p.id AND v.instance_uuid = r.uuid AND v.cell = r.cell
              JOIN neutron_ml2_port_bindings b ON b.port_id = p.id AND b.host = r.host
              LEFT JOIN host_interfaces i ON i.uuid = r.uuid AND LOWER(i.mac) = LOWER(p.mac_address)
             WHERE i.uuid IS NULL AND LOWER(v.address) = LOWER(p.mac_address) AND p.device_owner LIKE 'compute:%'
               AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun') AND b.vnic_type = 'normal'
               AND b.status = 'ACTIVE' AND b.vif_type NOT IN ('unbound', 'binding_failed')),
        volumes AS (
            SELECT r.uuid, r.cell, r.host, b.volume_id AS device
              FROM running r
              JOIN nova_block_device_mapping b ON b.instance_uuid = r.uuid AND b.cell = r.cell
              JOIN cinder_volume_attachment a ON a.volume_id = b.volume_id AND a.instance_uuid = r.uuid
              LEFT JOIN host_disks k ON k.uuid = r.uuid AND k.serial = b.volume_id
             WHERE k.uuid IS NULL AND NOT b.deleted AND b.destination_type = 'volume' AND b.volume_id IS NOT NULL
               AND NOT a.deleted AND a.attach_status = 'attached')
        SELECT DISTINCT uuid AS server, cell, host, device, 'nic' AS code FROM nics
        UNION
        SELECT DISTINCT uuid, cell, host, device, 'volume' FROM volumes""",
)
