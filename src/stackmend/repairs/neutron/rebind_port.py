# SPDX-License-Identifier: Apache-2.0
"""Move a port's binding to the host its server is on.

## What it does
The binding that names the wrong host goes, with its levels; the port gets one for the server's host, left unbound,
and the status DOWN. The next update of the port through Neutron's API binds it there: Neutron binds every port that
has a host and no binding yet. Only this port is touched, never those of DHCP, routers or other servers.

## Guards
The server is idle and on that host; the bindings read as planned. Refused for a port with a device passed through
(SR-IOV): its profile has to name the device that the new host claimed for it, which only Nova's own move writes.

## Undo
The old binding and its levels are put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Manual, Risk, Step
from stackmend.repairs.common import Record, change, idle, revised, the_server
from stackmend.repairs.ports import bind

#: kinds of NICs that need no device of their host
_PLAIN = frozenset({"normal", "baremetal", "smart-nic"})


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; nothing where the port is bound to the server's host."""
    database, server = the_server(target, live)
    port = live.row("neutron", "ports", {"id": target["port"], "device_id": server["uuid"]})
    if port is None or server["host"] is None:
        raise CannotRepair(f"port {target['port']} is not on a server that has a host")
    yield from idle(live, database, server)
    yield from rebound(live, port, str(server["host"]))


def rebound(live: Live, port: Record, host: str) -> Iterator[Step]:
    """Steps that bind one port to a host; nothing where it is."""
    bindings = live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"], "status": "ACTIVE"})
    if any(binding["host"] == host for binding in bindings):
        return
    if any(binding["vnic_type"] not in _PLAIN for binding in bindings):
        raise CannotRepair(
            f"port {port['id']} is {bindings[0]['vnic_type']}: its profile names a device of {bindings[0]['host']}."
            " Set binding:host_id and binding:profile through the API, with the device that pci_devices has on"
            f" {host}"
        )
    if port["status"] != "DOWN":
        yield change(live, "neutron", "ports", port, {"status": "DOWN"})
    yield from bind(live, port, host)
    yield revised(live, port["standard_attr_id"])
    yield Manual(text=f"Let Neutron bind it: openstack port set --host {host} {port['id']}")


REPAIR = Repair(
    name="rebind-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("port-binding-wrong-host",),
    strategies={"db": db},
    why="the guest is without network on that port if it does not run on the host that Nova names",
)
