# SPDX-License-Identifier: Apache-2.0
"""A server's port is up in OVN and down in Neutron, or the other way round.

## What is wrong
Nothing has changed for at least the age `settled`, and both sides know the port. The `code` says which of them says
what:

* `up`: a chassis has plugged the port in (`up` in the northbound database), and Neutron says DOWN or BUILD;
* `down`: no chassis has it plugged in, and Neutron says ACTIVE.

Only ports of servers that an `ovn-controller` plugs in are judged, and none that is disabled (`admin_state_up`).

## Why it matters
With `up`, Nova waits in vain for the port whenever the server is started or moved, and load balancers and floating IPs
leave it out. With `down`, nothing reaches the server, and Neutron does not show it.

## How it comes about
Neutron learns of it by events of the northbound database. One was lost while its workers were restarted, or the hash
ring gave it to a worker that was gone.

## How to see it by hand
`ovn-nbctl --columns=up,enabled find Logical_Switch_Port name=<port>`, and `openstack port show <port> -c status`.

## Repair and its risk
By hand, with a restart of Neutron's API workers, one controller after another: as each connects to OVN, it is given
every port as new, and sets the status of those that the hash ring gives to it (`LogicalSwitchPortCreateEvent`). Who has
which port changes while workers come and go, so a port may be left out: look again afterwards, and repeat it. Users see
no more than a short pause of the API. For one port alone, a hard reboot of its server plugs it in again.
`neutron-ovn-db-sync-util` compares the status of ports in no mode. Never write ACTIVE into the database: Nova is not
told. With `down`, first see on the host why no interface has the port's id
(`ovs-vsctl find Interface external_ids:iface-id=<port>`): then OVN is right.
"""

from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="ovn-port-status-drift",
    catalogue="I13",
    severity=Severity.WARNING,
    message="port {port} of server {server} is {status} in Neutron: {code}",
    codes={"up": "OVN says that it is plugged in", "down": "OVN says that it is not plugged in"},
    resource=("port", "port"),
    key=("port",),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "ovn_ports": {"port": "port"},
    },
    explained_by={
        "ovn-port-chassis-drift": {"port": "port"},
        "port-binding-wrong-host": {"port": "port"},
        "port-binding-duplicate-active": {"port": "port"},
    },
    ages={"settled": 900},
    by_hand=(
        "restart neutron-server (the API workers of Neutron), one controller after another: each sets the status of its"
        " share of the ports as OVN shows it when it connects; look again, and repeat it if this port fell to none. For"
        " this port alone, with an interruption: openstack server reboot --hard {server}. neutron-ovn-db-sync-util does"
        " not compare the status of ports"
    ),
    sql="""
        WITH bound AS (
            SELECT b.port_id, MAX(b.host) AS host
              FROM neutron_ml2_port_bindings b
             GROUP BY b.port_id
            HAVING COUNT(*) = 1 AND MAX(b.status) = 'ACTIVE' AND MAX(b.vif_type) IN ('ovs', 'vhostuser')
               AND MAX(CASE WHEN b.migrating THEN 1 ELSE 0 END) = 0)
        SELECT p.id AS port, p.device_id AS server, b.host, p.status,
               CASE WHEN p.status = 'ACTIVE' THEN 'down' ELSE 'up' END AS code
          FROM ovn_ports o
          JOIN neutron_ports p ON p.id = o.port
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
          JOIN bound b ON b.port_id = p.id
         WHERE o.own AND COALESCE(o.type, '') = '' AND p.device_owner LIKE 'compute:%' AND p.admin_state_up
           AND COALESCE(a.updated_at, a.created_at) < $settled
           AND ((p.status IN ('DOWN', 'BUILD') AND o.up AND COALESCE(o.enabled, TRUE))
                OR (p.status = 'ACTIVE' AND NOT COALESCE(o.up, FALSE)))""",
)
