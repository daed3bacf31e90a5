# SPDX-License-Identifier: Apache-2.0
"""Move a port's binding to the host of its server.

## What it does
Deletes the binding on the wrong host, with its levels. The port gets a binding on the server's host, left unbound, and
the status DOWN. The next update of the port through Neutron's API binds it there, because Neutron binds every port that
has a host and no binding yet. Before that update, a hard reboot or a start of the server ends in ERROR ("Unsupported
VIF type unbound", seen on Nova 34). Only this port is touched, never ports of DHCP, routers or other servers.

Through the API, Neutron binds the port itself; an inactive binding that a migration left on that host is deleted first.

## Guards
The server is idle and on that host according to every record (`stackmend server where UUID`): if the other records
agree with the port, the server's host is wrong instead. The bindings are unchanged since the plan. A port with a
passed-through device (SR-IOV) is refused: its profile must name the device that the new host claimed for it, which only
Nova's own move writes.

## Undo
The old binding and its levels are restored. Through the API, Neutron binds the port to the old host again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.states import UNBOUND
from stackmend.model.finding import Row
from stackmend.model.operations.network import CreateBinding, DeleteBinding, PortSeen, UpdatePort
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Manual, Record, Risk, Step
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of, shown
from stackmend.repairs.common import change, idle, revised, the_server
from stackmend.repairs.ports import PLAIN, bind
from stackmend.repairs.whereabouts import at_home, evidence


def api(target: Row, live: Live) -> Iterator[Step]:
    """API calls to Neutron; none if the port is bound to the server's host."""
    database, server = the_server(target, live)
    api_of(live)
    list(idle(live, database, server))
    at_home(live, database, server)
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_id": server["uuid"]})
    if port is None or server["host"] is None:
        raise CannotRepair(f"port {target['port']} is not on a server that has a host")
    yield from rebound_by_api(live, str(port["id"]), str(server["host"]), str(server["host"]))


def rebound_by_api(live: Live, port: str, host: str, believed: str, *, stuck: bool = False) -> Iterator[Step]:
    """Calls that bind one port to a host; none if it is bound there.

    ``believed``: the host Nova shows now; ``stuck``: Nova also shows a task state, which is cleared by then.
    """
    found = api_of(live).look(UpdatePort(port=port, values={}))
    shown(found, "port")
    if not stuck:
        calls.idle(found, found["device_id"])
    if found["server.host"] != believed:
        raise CannotRepair(f"Nova's API shows server {found['device_id']} on {found['server.host']}, not on {believed}")
    if found["binding:host_id"] == host and found["binding:vif_type"] not in UNBOUND:
        return
    if found["binding:vnic_type"] not in PLAIN:
        raise CannotRepair(
            f"port {port} is {found['binding:vnic_type']}: its profile must name a device of {host}, which only"
            " Nova's own move writes"
        )
    where = {"port_id": port, "host": host, "status": "INACTIVE"}
    if live.rows("neutron", "ml2_port_bindings", where):
        back = CreateBinding(port=port, host=host).call({"binding": None})
        yield DeleteBinding(port=port, host=host).call({"binding": "INACTIVE"}, back)
    guards = ("device_id", "binding:host_id", "server", "server.task_state")
    expect: PortSeen = {**calls.chosen(found, guards), "server.host": host}
    if stuck:
        expect["server.task_state"] = None
    yield calls.port_updated(port, {"binding:host_id": host}, found, expect)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the port is bound to the server's host."""
    database, server = the_server(target, live)
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_id": server["uuid"]})
    if port is None or server["host"] is None:
        raise CannotRepair(f"port {target['port']} is not on a server that has a host")
    at_home(live, database, server)
    yield from idle(live, database, server)
    yield from rebound(live, port, str(server["host"]))


def rebound(live: Live, port: Record, host: str) -> Iterator[Step]:
    """Steps that bind one port to a host; none if it is bound there."""
    bindings = live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"], "status": "ACTIVE"})
    if any(binding["host"] == host for binding in bindings):
        return
    if any(binding["vnic_type"] not in PLAIN for binding in bindings):
        raise CannotRepair(
            f"port {port['id']} is {bindings[0]['vnic_type']}: its profile names a device of {bindings[0]['host']}."
            " Set binding:host_id and binding:profile through the API, with the device that pci_devices has on"
            f" {host}"
        )
    if port["status"] != "DOWN":
        yield change(live, "neutron", "ports", port, {"status": "DOWN"})
    yield from bind(live, port, host)
    yield revised(live, port["standard_attr_id"])
    text = f"Let Neutron bind it before any reboot: openstack port set --host {host} {port['id']}"
    yield Manual(text=text, awaited=True)


REPAIR = Repair(
    name="rebind-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("port-binding-wrong-host",),
    strategies={"api": api, "db": db},
    evidence=evidence,
    why=(
        "the guest has no network on that port if it runs on another host than the one in Nova; through the database, a"
        " hard reboot before Neutron has bound the port puts the server in ERROR"
    ),
)
