# SPDX-License-Identifier: Apache-2.0
"""Give a port an active binding again.

## What it does
For a port of a server: activates the inactive binding on the server's host, or creates an unbound one there, which
Neutron binds with the next update of the port. Inactive bindings on other hosts are deleted with their levels. For any
other port: creates an unbound binding without a host. The revision number is incremented.

A binding says what kind of device the port needs (`vnic_type`). The kind in an inactive binding is kept. Without such a
binding, the kind in the server's network cache is used; if that does not list the port either, it becomes an ordinary
one (`normal`). A port with a passed-through device (SR-IOV) is refused: its profile must name the device, which only
Nova's own moves write. Through the API, Neutron creates the binding on the server's host and binds it; the account
needs the role `service` for that.

## Guards
The port still has no active binding, its bindings are unchanged since the plan, and its server, if it has one, is idle
and on the host that every record names.

## Undo
The rows are restored. Through the API, the new binding is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.states import UNBOUND
from stackmend.model.finding import Row
from stackmend.model.operations.network import CreateBinding, DeleteBinding
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Manual, Record, Risk, Step
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded, shown
from stackmend.repairs.common import change, idle, live_server, revised
from stackmend.repairs.network_info import parsed
from stackmend.repairs.ports import PLAIN, bind, told_to_ovn, without
from stackmend.repairs.whereabouts import at_home


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Neutron; none if the port has an active binding."""
    port = _zombie(target, live)
    if port is None:
        return
    placed = _server(live, port)
    if placed is None or placed[1]["host"] is None:
        raise CannotRepair("Neutron's API creates a binding only for a port of a server that has a host")
    database, server = placed
    list(idle(live, database, server))
    at_home(live, database, server)
    if live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"]}):
        raise CannotRepair("Neutron's API cannot activate a binding while no other one is active")
    if _kind(live, database, port) not in ("normal", None):
        raise CannotRepair(f"Neutron's API would make port {port['id']} an ordinary one: repair it in the database")
    made = CreateBinding(port=str(port["id"]), host=str(server["host"]), server=str(server["uuid"]))
    found = api_of(live).look(made)
    shown(found, "port")
    calls.idle(found, server["uuid"])
    back = DeleteBinding(port=made.port, host=made.host).call({"binding": "ACTIVE"})
    yield guarded(made, found, ("binding", *SERVER), back)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the port has an active binding."""
    port = _zombie(target, live)
    if port is None:
        return
    host, kind = "", None
    if (placed := _server(live, port)) is not None:
        database, server = placed
        at_home(live, database, server)
        yield from idle(live, database, server)
        host, kind = str(server["host"] or ""), _kind(live, database, port)
    yield ExpectNone(database="neutron", table="ml2_port_bindings", where={"port_id": port["id"], "status": "ACTIVE"})
    left = live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"]})
    there = next((row for row in left if host and row["host"] == host and row["vif_type"] not in UNBOUND), None)
    if there is None:
        if port["status"] == "ACTIVE" and host:
            yield change(live, "neutron", "ports", port, {"status": "DOWN"})
        yield from bind(live, port, host, kind)
    else:
        for row in left:
            if row is not there:
                yield from without(live, row)
        yield change(live, "neutron", "ml2_port_bindings", there, {"status": "ACTIVE"}, ("vif_type", "vnic_type"))
    yield revised(live, port["standard_attr_id"])
    if there is None and host:
        text = f"Let Neutron bind it before any reboot: openstack port set --host {host} {port['id']}"
        yield Manual(text=text, awaited=True)
    yield from told_to_ovn(live, port)


def _zombie(target: Row, live: Live) -> Record | None:
    """The port; None if it is deleted or has an active binding."""
    port = live.row("neutron", "ports", {"id": str(target["port"])})
    if port is None or live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"], "status": "ACTIVE"}):
        return None
    return port


def _kind(live: Live, database: str, port: Record) -> str | None:
    """Its kind of device by its bindings, else by its server's cache; CannotRepair if it needs a device of its host."""
    left = live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"]})
    kinds = {str(row["vnic_type"]) for row in left}
    for cache in () if left else live.rows(database, "instance_info_caches", {"instance_uuid": port["device_id"]}):
        kinds |= {
            str(vif.get("vnic_type")) for vif in parsed(cache["network_info"]) or () if vif.get("id") == port["id"]
        }
    kind = min(kinds, default=None)
    if len(kinds) > 1 or (kind is not None and kind not in PLAIN):
        raise CannotRepair(
            f"port {port['id']} is {', '.join(sorted(kinds))}: its profile must name a device of its host. Bind it"
            " through the API with binding:profile as pci_devices has it, or detach and attach it"
        )
    return kind


def _server(live: Live, port: Record) -> tuple[str, Record] | None:
    """(database, row) of the live server to which the port belongs; None if it does not belong to a server."""
    if not str(port["device_owner"]).startswith("compute:") or not port["device_id"]:
        return None
    return live_server(live, str(port["device_id"]))


REPAIR = Repair(
    name="restore-port-binding",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("port-binding-missing",),
    strategies={"api": api, "db": db},
    why=(
        "a port without any binding becomes an ordinary one unless its server's cache has its kind; through the"
        " database, a hard reboot before Neutron has bound it puts the server in ERROR"
    ),
)
