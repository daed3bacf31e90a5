# SPDX-License-Identifier: Apache-2.0
"""A finished move has left an INACTIVE binding of a port on another host.

## What is wrong
A port of an idle server has its ACTIVE binding on the server's host, and in addition an INACTIVE one on another host.

## Why it matters
Live migration to that host is not possible: Neutron refuses a second binding of the port there (409, "Binding for port
... already exists", in the conductor's log), and Nova reports "No valid host was found".

## How it comes about
Before a live migration Nova creates an INACTIVE binding of each port on the target. nova-compute was killed in the
middle, or Neutron did not answer when the binding should have been deleted (bugs 1979072, 1960412).

## How to see it by hand
`GET /v2.0/ports/<port>/bindings` in Neutron's API; `openstack port show` shows only the ACTIVE one.

## Repair and its risk
The INACTIVE binding is deleted with its levels; the ACTIVE one is never touched. Check first that the guest does not
run on the other host (`virsh list`): libvirt continues a migration when nova-compute dies, and if the guest has arrived
there, the server's host is wrong instead.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity
from stackmend.tables.views import idle

CHECK = Check(
    name="port-binding-inactive-leftover",
    catalogue="A12",
    severity=Severity.WARNING,
    message="port {port} of server {server}, which is on {host}, has an inactive binding left on {left_host}",
    resource=("port", "port"),
    key=("server", "port", "left_host"),
    sight=guest("host", "left_host"),
    needs=frozenset({"neutron"}),
    hinders=frozenset({"move"}),
    reads={
        **idle(),
        "neutron_ports": {"id": "port"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
    },
    spares=frozenset({"neutron_ml2_port_bindings.inactive"}),
    ages={"idle": 600},
    # if the ACTIVE binding is elsewhere, that comes first: port-binding-wrong-host, server-wrong-host
    sql="""
        WITH suspects AS (
            SELECT l.port_id, l.host AS left_host, l.vif_type, p.device_id
              FROM neutron_ml2_port_bindings l
              JOIN neutron_ports p ON p.id = l.port_id
             WHERE l.status = 'INACTIVE' AND l.vnic_type <> 'baremetal'
               AND p.device_owner LIKE 'compute:%' AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')),
        bound AS (
            SELECT l.port_id, l.left_host, l.vif_type, l.device_id, b.host
              FROM suspects l
              JOIN neutron_ml2_port_bindings b ON b.port_id = l.port_id AND b.status = 'ACTIVE')
        SELECT DISTINCT s.uuid AS server, s.cell, s.host, l.port_id AS port, l.left_host, l.vif_type
          FROM bound l
          JOIN idle_servers s ON s.uuid = l.device_id
         WHERE LOWER(s.host) = LOWER(l.host)
           AND s.vm_state NOT IN ('shelved_offloaded', 'deleted', 'resized') AND NOT s.in_cell0
           AND s.changed_at < $idle""",
)
