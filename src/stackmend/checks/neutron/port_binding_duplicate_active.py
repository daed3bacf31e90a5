# SPDX-License-Identifier: Apache-2.0
"""A port has several active bindings.

## What is wrong
`ml2_port_bindings` has more than one row with status ACTIVE for the port. Neutron keeps exactly one: bindings to other
hosts, created for a live migration, are INACTIVE.

## Why it matters
Neutron picks one of them arbitrarily, so the port may be served on the wrong host after the next change, and live
migration is not possible.

## How it comes about
Two changes of the port at the same moment, or SQL.

## How to see it by hand
`GET /v2.0/ports/<port>/bindings` in Neutron's API; `openstack port show` shows only one of them.

## Repair and its risk
`drop-duplicate-binding` deletes those on other hosts, if one is on the server's host. Check first that the guest runs
there (`virsh list`). For ports that do not belong to a server, the plan names the hosts, and a human decides.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity

CHECK = Check(
    name="port-binding-duplicate-active",
    catalogue="A13",
    severity=Severity.ERROR,
    message="port {port} ({owner} {device}) has {bindings} active bindings, the first and the last on {low} and {high}",
    resource=("port", "port"),
    key=("port",),
    sight=guest("low", "high"),
    needs=frozenset({"neutron"}),
    spares=frozenset({"neutron_ml2_port_bindings.inactive"}),  # an API shows one binding of a port
    hinders=frozenset({"move", "start"}),
    reads={
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "neutron_ports": {"id": "port"},
    },
    sql="""
        WITH several AS (
            SELECT port_id, COUNT(host) AS bindings, MIN(host) AS low, MAX(host) AS high
              FROM neutron_ml2_port_bindings
             WHERE status = 'ACTIVE'
             GROUP BY port_id
            HAVING COUNT(host) > 1)
        SELECT p.id AS port, p.device_id AS device, p.device_owner AS owner, p.device_id AS server, s.bindings,
               s.low, s.high
          FROM several s
          JOIN neutron_ports p ON p.id = s.port_id""",
)
