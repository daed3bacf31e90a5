# SPDX-License-Identifier: Apache-2.0
"""OVN has the port of a server on another host than Neutron.

## What is wrong
Neutron has one active binding of the port, to a host, and nothing has changed for at least the age `settled`. The
`code` says what OVN makes of it:

* `elsewhere`: a chassis on another host has claimed the port (`Port_Binding.chassis` in the southbound database);
* `asked-elsewhere`: the northbound database asks for another host than Neutron says (`requested-chassis`);
* `chassis-gone`: OVN was asked for the host of the binding, and no chassis has this name or host name: nobody can claim
  the port.

Only ports of servers that an `ovn-controller` plugs in are judged: not those of routers, load balancers and metadata,
which are on no host or on all of them; not virtual and external ports; not ports on a network card that has a host
name of its own (`remote-managed`); not subports of trunks, which follow their parents; and no port that is being
migrated.

## Why it matters
Traffic to the server goes to a host where it is not, or nowhere.

## How it comes about
A server was evacuated, or moved by SQL, and OVN was not told (`UPDATE ml2_port_bindings`); a host that was taken for
dead came back with the old port on its bridge; the chassis of a host was deleted, or its `system-id` or `hostname`
changed when it was installed again.

## How to see it by hand
`openstack port show <port> -c binding_host_id`; `ovn-sbctl --columns=chassis,requested_chassis find Port_Binding
logical_port=<port>`; `ovn-nbctl get Logical_Switch_Port <port> options`; `ovn-sbctl --columns=name,hostname list
Chassis`.

## Repair and its risk
By hand. First see on which host the server runs: where it runs on the host that OVN names, the binding in Neutron is
wrong (port-binding-wrong-host), and where it runs on both, nothing but stopping one of them is right. For
`asked-elsewhere`, any change of the port makes Neutron write it again. For `elsewhere`, remove the port's interface
from the bridge of the host on which the server is not. For `chassis-gone`, start `ovn-controller` there, or mend the
host name it reports (`ovs-vsctl get Open_vSwitch . external_ids:hostname`). `neutron-ovn-db-sync-util` mends none of
these: it does not compare hosts.
"""

from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="ovn-port-chassis-drift",
    catalogue="I13",
    severity=Severity.ERROR,
    message="port {port} is bound to {host} in Neutron: {code}",
    codes={
        "elsewhere": "in OVN, {chassis_host} has claimed it",
        "asked-elsewhere": "OVN is asked for {asked}",
        "chassis-gone": "OVN has no chassis of that name, so nobody can claim it",
    },
    resource=("port", "port"),
    key=("port",),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "ovn_ports": {"port": "port"},
        "ovn_bindings": {"port": "port"},
        "ovn_chassis": {},
    },
    explained_by={"port-binding-wrong-host": {"port": "port"}, "port-binding-duplicate-active": {"port": "port"}},
    ages={"settled": 900},
    by_hand=(
        "see where server {server} runs (openstack server show {server} -c OS-EXT-SRV-ATTR:host, and virsh list there)."
        " If that is {host}: make Neutron write the port again (openstack port set --description '' {port}), and on the"
        " host that has claimed it without the server, remove its interface (ovs-vsctl --columns=name find Interface"
        " external_ids:iface-id={port}, then ovs-vsctl del-port NAME). If no chassis is {host}: start ovn-controller"
        " there"
    ),
    sql="""
        WITH settled AS (
            SELECT p.id AS port, p.device_id AS server, o.asked
              FROM ovn_ports o
              JOIN neutron_ports p ON p.id = o.port
              JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
             WHERE o.own AND COALESCE(o.type, '') = '' AND p.device_owner LIKE 'compute:%'
               AND COALESCE(a.updated_at, a.created_at) < $settled),
        bound AS (
            SELECT b.port_id, MAX(b.host) AS host
              FROM neutron_ml2_port_bindings b
              JOIN settled s ON s.port = b.port_id
             GROUP BY b.port_id
            HAVING COUNT(*) = 1 AND MAX(b.status) = 'ACTIVE' AND MAX(b.vif_type) IN ('ovs', 'vhostuser')
               AND MAX(b.vnic_type) <> 'remote-managed' AND MAX(CASE WHEN b.migrating THEN 1 ELSE 0 END) = 0
               AND MAX(b.host) <> ''),
        claimed AS (
            SELECT d.port, MIN(c.host) AS host
              FROM ovn_bindings d
              JOIN bound b ON b.port_id = d.port
              JOIN ovn_chassis c ON c.id = d.chassis
             WHERE NULLIF(c.host, b.host) IS NOT NULL AND NULLIF(c.name, b.host) IS NOT NULL
             GROUP BY d.port),
        known AS (
            SELECT host AS called FROM ovn_chassis WHERE host IS NOT NULL UNION SELECT name AS called FROM ovn_chassis)
        SELECT s.port, s.server, b.host, s.asked, c.host AS chassis_host,
               CASE WHEN c.port IS NOT NULL THEN 'elsewhere'
                    WHEN s.asked IS NOT NULL AND NULLIF(s.asked, b.host) IS NOT NULL THEN 'asked-elsewhere'
                    ELSE 'chassis-gone' END AS code
          FROM settled s
          JOIN bound b ON b.port_id = s.port
          LEFT JOIN claimed c ON c.port = s.port
          LEFT JOIN known k ON k.called = b.host
         WHERE c.port IS NOT NULL
            OR (s.asked IS NOT NULL AND s.asked NOT LIKE '%,%' AND NULLIF(s.asked, b.host) IS NOT NULL)
            OR (k.called IS NULL AND s.asked IS NOT NULL AND NULLIF(s.asked, b.host) IS NULL)""",
)
