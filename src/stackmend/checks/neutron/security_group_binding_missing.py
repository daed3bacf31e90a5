# SPDX-License-Identifier: Apache-2.0
"""A NIC with port security has no security group.

## What is wrong
Port security is enabled for one of a live server's ports (`portsecuritybindings`), but the port has no security group
(`securitygroupportbindings`). This may be intended (`openstack port create --no-security-group`): no row tells.

A port without a row in `portsecuritybindings` is not reported: Neutron treats it as secured, and ports older than that
extension have none.

## Why it matters
Without a group nothing is allowed: all traffic to and from the NIC is dropped, except DHCP and the like.

## How it comes about
The rows were lost in a restore of single tables, a security group was deleted by SQL (which deletes its bindings), or
the owner removed all groups.

## How to see it by hand
`openstack port show <port> -c security_group_ids -c port_security_enabled`.

## Repair and its risk
By hand, because only the owner knows which groups the port had: `openstack port set --security-group <group> <port>`.
The server's other ports may show them. Never add the default group to a port of an appliance (router, intrusion
detection) without asking: that changes which traffic passes.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="security-group-binding-missing",
    catalogue="I7",
    severity=Severity.WARNING,
    message="port {port} of server {server} has port security, but no security group: all its traffic is dropped",
    resource=("port", "port"),
    key=("server", "port"),
    needs=frozenset({"neutron"}),
    reads={
        **idle(),
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_portsecuritybindings": {"port_id": "port"},
        "neutron_securitygroupportbindings": {"port_id": "port"},
    },
    ages={"idle": 900},
    explained_by={"extra-ports-on-server": {"server": "server", "port": "port"}},
    by_hand=(
        "ask the owner which groups the port should have ('openstack port list --server {server}' shows the others),"
        " then: openstack port set --security-group <group> {port}"
    ),
    sql="""
        WITH bare AS (
            SELECT x.port_id
              FROM neutron_portsecuritybindings x
              LEFT JOIN neutron_securitygroupportbindings g ON g.port_id = x.port_id
             WHERE x.port_security_enabled AND g.port_id IS NULL)
        SELECT DISTINCT s.uuid AS server, s.cell, p.id AS port
          FROM bare x
          JOIN neutron_ports p ON p.id = x.port_id
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
          JOIN idle_servers s ON s.uuid = p.device_id
         WHERE p.device_owner LIKE 'compute:%' AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')
           AND s.vm_state NOT IN ('deleted', 'soft-delete') AND NOT s.in_cell0
           AND s.changed_at < $idle AND COALESCE(a.updated_at, a.created_at) < $idle""",
)
