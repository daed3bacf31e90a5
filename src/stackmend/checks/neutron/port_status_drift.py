# SPDX-License-Identifier: Apache-2.0
"""The status of a server's port is not that of its NIC.

## What is wrong
The port is in the network cache of a server, and nothing has changed for a quarter of an hour. The `code` says what
does not fit:

* `blocked`: the server runs, but the port is DOWN or BUILD, and Neutron still waits for the part that is named
  (`provisioningblocks`): `DHCP` for a DHCP agent, `L2` for the agent of the server's host;
* `down`: the server runs, but the port is DOWN or BUILD, although Neutron waits for nothing;
* `unbound`: the port is ACTIVE, but bound to no host.

Only ports that an agent or OVN plugs into a switch are judged (`ovs`, `bridge`, `vhostuser`); not those that are
disabled (`admin_state_up`), and no servers that are off, paused or being moved.

## Why it matters
The NIC may have no connectivity. If it has, Nova still waits for it at the next hard reboot or live migration until
that times out, and then fails. Floating IPs and load balancers leave out ports that are DOWN.

## How it comes about
An agent was down, or the message that the port is ready was lost (bug 1988199 for DHCP); with OVN, the event of the
northbound database was. A port that is ACTIVE without
a host was freed by SQL.

## How to see it by hand
`openstack port show <port> -c status -c binding_host_id -c binding_vif_type`; in the database: `SELECT entity FROM
provisioningblocks b JOIN ports p ON p.standard_attr_id = b.standard_attr_id WHERE p.id = '<port>'`.

## Repair and its risk
By hand, because only agents know what is plugged. First make sure that they are alive: the L2 agent of the host, and
for `DHCP` the agents of the network (`openstack network agent list --network <network>`). Restarting the one that is
waited for makes it report its ports again. Disabling and enabling the port does the same for one port, and interrupts
its traffic. With OVN, Neutron takes the status from events alone, and `neutron-ovn-db-sync-util` leaves it as it is: a
hard reboot plugs the NIC in again. Never write ACTIVE into the database: Nova would start guests with NICs that do not
work.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="port-status-drift",
    catalogue="I12",
    severity=Severity.WARNING,
    message="port {port} of server {server} is {status}: {code}",
    codes={
        "blocked": "the server runs on {host}, and Neutron still waits for {entities}",
        "down": "the server runs on {host}, and Neutron waits for nothing",
        "unbound": "it is not bound to any host",
    },
    resource=("port", "port"),
    key=("server", "port"),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move", "start"}),
    reads={
        **idle(),
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "neutron_provisioningblocks": {"standard_attr_id": "neutron_ports.standard_attr_id"},
        "nova_vifs": {"instance_uuid": "server"},
    },
    ages={"idle": 900},
    explained_by={
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
        "extra-ports-on-server": {"server": "server", "port": "port"},
        "port-binding-failed-or-unbound": {"server": "server", "port": "port"},
        "port-binding-duplicate-active": {"port": "port"},
        "ovn-port-status-drift": {"port": "port"},
    },
    by_hand=(
        "see to it that the agents are alive: openstack network agent list --host {agents}, and for DHCP: openstack"
        " network agent list --network {network}. Restart the one that is waited for. For this port alone, with an"
        " interruption: openstack port set --disable {port}, then openstack port set --enable {port}; with OVN instead:"
        " openstack server reboot --hard {server}"
    ),
    sql="""
        WITH suspect AS (
            SELECT p.id, p.device_id, p.network_id, p.status, p.standard_attr_id, b.host AS port_host
              FROM neutron_ports p
              JOIN neutron_ml2_port_bindings b ON b.port_id = p.id AND b.status = 'ACTIVE'
             WHERE p.device_owner LIKE 'compute:%' AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')
               AND ((p.status IN ('DOWN', 'BUILD') AND p.admin_state_up
                     AND b.vif_type IN ('ovs', 'bridge', 'vhostuser'))
                    OR (p.status = 'ACTIVE' AND b.vif_type = 'unbound'))),
        awaited AS (
            SELECT d.id, STRING_AGG(DISTINCT k.entity, ' and ' ORDER BY k.entity) AS entities
              FROM suspect d
              JOIN neutron_provisioningblocks k ON k.standard_attr_id = d.standard_attr_id
             GROUP BY d.id),
        listed AS (
            SELECT DISTINCT v.port_id, v.instance_uuid, v.cell
              FROM nova_vifs v
              JOIN suspect d ON d.id = v.port_id AND d.device_id = v.instance_uuid)
        SELECT DISTINCT s.uuid AS server, s.cell, s.host, d.id AS port, d.network_id AS network, d.status,
               COALESCE(s.host, '<host>') AS agents, w.entities,
               CASE WHEN d.status = 'ACTIVE' THEN 'unbound' WHEN w.id IS NOT NULL THEN 'blocked' ELSE 'down' END AS code
          FROM suspect d
          JOIN listed l ON l.port_id = d.id
          JOIN idle_servers s ON s.uuid = l.instance_uuid AND s.cell = l.cell
          JOIN neutron_standardattributes a ON a.id = d.standard_attr_id
          LEFT JOIN awaited w ON w.id = d.id
         WHERE NOT s.in_cell0 AND s.launched_at IS NOT NULL AND s.vm_state NOT IN ('deleted', 'soft-delete')
           AND (d.status = 'ACTIVE' OR (s.vm_state = 'active' AND s.power_state = 1 AND d.port_host = s.host))
           AND s.changed_at < $idle AND COALESCE(a.updated_at, a.created_at) < $idle""",
)
