# SPDX-License-Identifier: Apache-2.0
"""A port holds a public address for a floating IP that does not exist.

## What is wrong
A port with owner `network:floatingip` holds an address of an external network, and no floating IP uses it. The `code`
says what its `device_id` names:

* `pending`: the placeholder `PENDING`, so the creation of the floating IP was never completed;
* `deleted`: a floating IP that no longer exists, or that uses another port.

## Why it matters
The public address cannot be given to anybody, and no project sees it. In time, external networks run out of addresses.

## How it comes about
neutron-server died while it created or deleted a floating IP (bug 1540844), or the floating IP was deleted by SQL.

## How to see it by hand
`openstack port list --device-owner network:floatingip --long`, and for each port
`openstack floating ip list --floating-ip-address <its address>`.

## Repair and its risk
`delete-floating-ip-port` deletes the port, and its address returns to the pool. A running neutron-server does this
itself for ports in `PENDING`, so a recent one is left to it.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="floating-ip-port-orphan",
    catalogue="I2",
    severity=Severity.WARNING,
    message="port {port} holds an address of external network {network} for no floating IP: {code}",
    codes={
        "pending": "the creation of one was never completed",
        "deleted": "floating IP {device} does not exist, or uses another port",
    },
    resource=("port", "port"),
    key=("port",),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_floatingips": {"floating_port_id": "port"},
    },
    ages={"grace": 1800},
    settle=False,
    sql="""
        WITH holders AS (
            SELECT p.id, p.network_id, p.device_id, p.standard_attr_id
              FROM neutron_ports p
              LEFT JOIN neutron_floatingips f ON f.floating_port_id = p.id
             WHERE p.device_owner = 'network:floatingip' AND f.id IS NULL)
        SELECT p.id AS port, p.network_id AS network, p.device_id AS device,
               CASE WHEN p.device_id = 'PENDING' THEN 'pending' ELSE 'deleted' END AS code
          FROM holders p
          JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
         WHERE COALESCE(a.updated_at, a.created_at) < $grace""",
)
