# SPDX-License-Identifier: Apache-2.0
"""A server's network cache describes one of its ports otherwise than Neutron does.

## What is wrong
The port is in the cache and is the server's, but the two disagree. If several things differ, the first of these is
named:

* `mac`: the MAC address;
* `vnic-type`: the type of the NIC (normal, direct, macvtap);
* `vif-type`: how the port is bound. A port that Neutron itself could not bind is reported by
  `port-binding-failed-or-unbound`;
* `ip`: the fixed addresses;
* `fip`: the floating addresses.

Names, MTU, DNS servers and routes of networks are not compared: Nova is never told about changes in a network, so that
caches are older than these in every healthy cloud.

## Why it matters
`server show`, the metadata and the config drive give wrong addresses. At the next start the guest is plugged in by what
the cache says: wrongly, if the MAC or a type differs. `binding_failed` in the cache sets the server to ERROR when its
nova-compute is restarted.

## How it comes about
The event `network-changed` was lost: nova-compute or the message bus was down while an address was added or a floating
IP was associated. Nova's own healer is off by default since 31. A subnet with automatic IPv6 addresses was added:
Neutron gives existing ports an address in it without any event. Or the port was edited by SQL.

## How to see it by hand
`openstack server show <server> -c addresses`, `openstack port show <port> -c fixed_ips -c mac_address -c
binding_vif_type -c binding_vnic_type`, `openstack floating ip list --port <port>`.

## Repair and its risk
For addresses and the binding, `refresh-info-cache` rebuilds the document from Neutron, as the next hard reboot would;
not if the address was deleted from Neutron by SQL, because the cache is then the last record of it. Any update of the
port makes Neutron send the event again: `openstack port set --name <its name> <port>`.

The MAC and the type of the NIC are not repaired, because the guest has what was plugged in. `virsh domiflist` on its
host shows which side is right. If that is the cache, Neutron was edited: give the port its value back there. If it is
Neutron, a hard reboot corrects the cache.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="info-cache-content-drift",
    catalogue="A4",
    severity=Severity.WARNING,
    message="the network cache of server {server} says {cached} of port {port}, Neutron says {known}: {code}",
    codes={
        "mac": "its MAC address differs",
        "vnic-type": "the type of the NIC differs",
        "vif-type": "the type of its binding differs",
        "ip": "its fixed addresses differ",
        "fip": "its floating addresses differ",
    },
    resource=("server", "server"),
    key=("server", "port"),
    needs=frozenset({"neutron"}),
    reads={
        **idle(),
        "nova_instance_info_caches": {"instance_uuid": "server"},
        "nova_vifs": {"instance_uuid": "server"},
        "nova_compute_nodes": {"host": "nova_instances.host"},
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "neutron_ipallocations": {"port_id": "port"},
        "neutron_floatingips": {"fixed_port_id": "port"},
        "neutron_other_attributes": {"id": "neutron_floatingips.standard_attr_id"},
    },
    ages={"idle": 900},  # the same age as server-wrong-host: the explanation of a finding must not be reported after it
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
        "port-binding-wrong-host": {"server": "server", "port": "port"},
        "port-binding-duplicate-active": {"port": "port"},
        "extra-ports-on-server": {"server": "server", "port": "port"},
    },
    by_hand=(
        "see what the guest has: 'virsh dumpxml' of {server} on {host}. If it has {cached}, Neutron was changed behind"
        " its back: set it there again. If it has {known}, correct the cache: openstack server reboot --hard {server}"
    ),
    # hardly any port has more than two addresses, and listing them takes longer than all else.
    # Nova shows the floating IPs of a port's address, whatever else the row of the floating IP says
    sql="""
        WITH counted AS (
            SELECT port_id, COUNT(*) AS addresses, MIN(ip_address) AS one, MAX(ip_address) AS other
              FROM neutron_ipallocations
             GROUP BY port_id),
        reached AS (
            SELECT f.fixed_port_id AS port_id, MAX(COALESCE(a.updated_at, a.created_at)) AS changed_at,
                   STRING_AGG(DISTINCT f.floating_ip_address, ',' ORDER BY f.floating_ip_address) AS floating
              FROM neutron_floatingips f
              JOIN neutron_ipallocations i ON i.port_id = f.fixed_port_id AND i.ip_address = f.fixed_ip_address
              JOIN neutron_other_attributes a ON a.id = f.standard_attr_id
             GROUP BY f.fixed_port_id),
        suspects AS (  -- whatever may differ, each by a narrow join: everything is compared for these few alone
            SELECT v.port_id, v.instance_uuid, v.cell
              FROM nova_vifs v JOIN neutron_ports p ON p.id = v.port_id
             WHERE LOWER(v.address) <> LOWER(p.mac_address)
            UNION
            SELECT v.port_id, v.instance_uuid, v.cell
              FROM nova_vifs v JOIN neutron_ml2_port_bindings b ON b.port_id = v.port_id
             WHERE b.status = 'ACTIVE' AND (v.vnic_type <> b.vnic_type OR v.vif_type <> b.vif_type)
            UNION
            SELECT v.port_id, v.instance_uuid, v.cell
              FROM nova_vifs v LEFT JOIN counted c ON c.port_id = v.port_id
             WHERE c.addresses > 2 OR v.fixed <> CASE WHEN c.one IS NULL THEN '' WHEN c.one = c.other THEN c.one
                                                      ELSE CONCAT(c.one, ',', c.other) END
            UNION
            SELECT v.port_id, v.instance_uuid, v.cell
              FROM nova_vifs v LEFT JOIN reached r ON r.port_id = v.port_id
             WHERE v.floating <> COALESCE(r.floating, '')),
        listed AS (
            SELECT v.instance_uuid, v.cell, v.port_id, LOWER(v.address) AS mac, v.vif_type, v.vnic_type, v.fixed,
                   v.floating, LOWER(p.mac_address) AS port_mac, p.project_id, p.standard_attr_id
              FROM suspects x
              JOIN nova_vifs v ON v.port_id = x.port_id AND v.instance_uuid = x.instance_uuid AND v.cell = x.cell
              JOIN neutron_ports p ON p.id = v.port_id AND p.device_id = v.instance_uuid
             WHERE p.device_owner LIKE 'compute:%' AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')),
        ports AS (SELECT DISTINCT port_id FROM listed),
        bound AS (
            SELECT b.port_id, MIN(b.vif_type) AS vif_type, MIN(b.vnic_type) AS vnic_type
              FROM ports x
              JOIN neutron_ml2_port_bindings b ON b.port_id = x.port_id
             WHERE b.status = 'ACTIVE'
             GROUP BY b.port_id
            HAVING COUNT(*) = 1),
        placed AS (
            SELECT i.port_id, STRING_AGG(DISTINCT i.ip_address, ',' ORDER BY i.ip_address) AS fixed
              FROM ports x
              JOIN neutron_ipallocations i ON i.port_id = x.port_id
             GROUP BY i.port_id),
        paired AS (
            SELECT l.instance_uuid, l.cell, l.port_id, l.project_id, l.standard_attr_id, r.changed_at, l.mac,
                   l.port_mac, l.vnic_type, COALESCE(b.vnic_type, l.vnic_type) AS port_vnic_type, l.vif_type,
                   CASE WHEN b.vif_type IN ('unbound', 'binding_failed') THEN l.vif_type
                        ELSE COALESCE(b.vif_type, l.vif_type) END AS port_vif_type,
                   l.fixed, COALESCE(p.fixed, '') AS port_fixed, l.floating, COALESCE(r.floating, '') AS port_floating
              FROM listed l
              LEFT JOIN bound b ON b.port_id = l.port_id
              LEFT JOIN placed p ON p.port_id = l.port_id
              LEFT JOIN reached r ON r.port_id = l.port_id),
        judged AS (
            SELECT p.instance_uuid, p.cell, p.port_id, p.project_id, p.standard_attr_id, p.changed_at, p.mac,
                   p.port_mac, p.vnic_type, p.port_vnic_type, p.vif_type, p.port_vif_type, p.fixed, p.port_fixed,
                   p.floating, p.port_floating,
                   CASE WHEN p.mac <> p.port_mac THEN 'mac'
                        WHEN p.vnic_type <> p.port_vnic_type THEN 'vnic-type'
                        WHEN p.vif_type <> p.port_vif_type THEN 'vif-type'
                        WHEN p.fixed <> p.port_fixed THEN 'ip'
                        ELSE 'fip' END AS code
              FROM paired p
             WHERE p.mac <> p.port_mac OR p.vnic_type <> p.port_vnic_type OR p.vif_type <> p.port_vif_type
                OR p.fixed <> p.port_fixed OR p.floating <> p.port_floating),
        drifted AS (
            SELECT d.instance_uuid, d.cell, d.port_id, d.project_id, d.standard_attr_id, d.changed_at, d.code,
                   CASE d.code WHEN 'mac' THEN d.mac WHEN 'vnic-type' THEN d.vnic_type WHEN 'vif-type' THEN d.vif_type
                               WHEN 'ip' THEN d.fixed ELSE d.floating END AS cached,
                   CASE d.code WHEN 'mac' THEN d.port_mac WHEN 'vnic-type' THEN d.port_vnic_type
                               WHEN 'vif-type' THEN d.port_vif_type WHEN 'ip' THEN d.port_fixed
                               ELSE d.port_floating END AS known
              FROM judged d)
        SELECT DISTINCT s.uuid AS server, s.cell, s.host, d.port_id AS port, d.code,
               COALESCE(NULLIF(d.cached, ''), 'nothing') AS cached, COALESCE(NULLIF(d.known, ''), 'nothing') AS known
          FROM drifted d
          JOIN idle_servers s ON s.uuid = d.instance_uuid AND s.cell = d.cell AND s.project_id = d.project_id
          JOIN nova_instance_info_caches c ON c.instance_uuid = s.uuid AND c.cell = s.cell
          JOIN neutron_standardattributes a ON a.id = d.standard_attr_id
          LEFT JOIN nova_compute_nodes n
            ON n.host = s.host AND n.hypervisor_hostname = s.node AND n.hypervisor_type = 'ironic'
         WHERE s.host IS NOT NULL AND s.launched_at IS NOT NULL AND NOT s.in_cell0 AND n.host IS NULL
           AND s.vm_state NOT IN ('shelved_offloaded', 'deleted', 'soft-delete') AND NOT COALESCE(c.deleted, TRUE)
           AND s.changed_at < $idle AND COALESCE(c.updated_at, c.created_at) < $idle
           AND COALESCE(a.updated_at, a.created_at) < $idle AND COALESCE(d.changed_at, a.created_at) < $idle""",
)
