# SPDX-License-Identifier: Apache-2.0
"""Free or delete a port that no longer belongs to any server.

## What it does
A port created by its owner (it has a name, a description, tags, a QoS policy or a trunk, or is older than the server),
or a port for which this cannot be ruled out, is freed: no device, unbound, its address kept. A port that Nova created
for the server is deleted with its child rows, and its address is given back. A port that another resource uses (a
floating IP, a trunk, a port forwarding) is freed, never deleted.

Through the API, Neutron frees or deletes the port itself. A port that is freed because its creator is unknown gets the
tag `stackmend-unbound`, so that its owner can be asked.

## Guards
No cell has a live server with that id and none is being built, checked again at the time of writing. For a leftover on
a live server: the server is idle, and the port is not ACTIVE.

## Undo
Every row is restored. An address that was given to another port in the meantime is not taken back: undo stops there.
Through the API, a freed port gets its device and host again; a deleted port stays deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.network import DeletePort, TagPort, UntagPort
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import Record, Risk, Step, Value
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded, shown
from stackmend.repairs.common import idle, live_server, made_by_owner, no_such_server
from stackmend.repairs.ports import CHILDREN, delete, free, told_to_ovn
from stackmend.repairs.sighted import nic_or_guest

#: tag of a port that was freed because its creator is unknown
TAG = "stackmend-unbound"


def api(target: Row, live: Live) -> Iterator[Step]:
    """API calls to Neutron; none if the port is already deleted or free."""
    port = _leftover(target, live)
    if port is None:
        return
    services = api_of(live)
    name, device = str(port["id"]), port["device_id"]
    database, server = _server(target, live)
    if server is not None and server["deleted"] == 0:
        list(idle(live, database, server))
    elif live_server(live, str(device)) is not None:
        raise CannotRepair(f"server {device} is alive in another cell")
    made = made_by_owner(live, port, server, _noted(live, database, port))
    found = services.look(DeletePort(port=name))
    shown(found, "port")
    if server is not None and server["deleted"] == 0:
        calls.idle(found, device)
        if found["status"] == "ACTIVE":
            raise CannotRepair(f"port {name} is ACTIVE: check the guest's NICs before removing anything")
    else:
        calls.server_absent(found, device)
    guards = ("device_id", "device_owner", "binding:host_id", "status", *SERVER)
    if made is False and not _used(live, port):
        yield guarded(DeletePort(port=name), found, guards)
        return
    yield calls.let_go(name, found, guards)
    if made is None:
        back = UntagPort(port=name, tag=TAG).call({"device_id": ""})
        yield TagPort(port=name, tag=TAG).call(inverse=back)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the port is already deleted or free."""
    port = _leftover(target, live)
    if port is None:
        return
    database, server = _server(target, live)
    if server is not None and server["deleted"] == 0:
        if port["status"] == "ACTIVE":
            raise CannotRepair(f"port {port['id']} is ACTIVE: check the guest's NICs before removing anything")
        yield from idle(live, database, server)
    else:
        yield from no_such_server(live, port["device_id"])
    seen = _noted(live, database, port)
    kept = made_by_owner(live, port, server, seen) is not False or _used(live, port)
    yield from free(live, port) if kept else delete(live, port)
    yield from told_to_ovn(live, port)


def _leftover(target: Row, live: Live) -> Record | None:
    """The port; None if it is deleted or free; CannotRepair if it is not Nova's."""
    port = live.row("neutron", "ports", {"id": str(target["port"])})
    if port is None or port["device_id"] != target["server"]:
        return None
    if target.get("code") == "adopted":
        raise CannotRepair(
            f"the network cache of server {target['server']} lists port {port['id']} ({port['mac_address']}): only the"
            f" guest shows whether it is a NIC. If 'virsh domiflist' on {target['host'] or 'its last host'} does not"
            f" list that MAC, run 'openstack server remove port {target['server']} {port['id']}'"
        )
    if port["device_owner"] == "compute:kuryr" or not str(port["device_owner"]).startswith("compute:"):
        raise CannotRepair(f"port {port['id']} is not Nova's: its device owner is {port['device_owner']}")
    return port


def _server(target: Row, live: Live) -> tuple[str, Record | None]:
    """(database, row) of the server, live or marked deleted; no row if no cell has one."""
    for cell in live.cells():
        row = live.row(cell_database(cell), "instances", {"uuid": str(target["server"])})
        if row is not None:
            return cell_database(cell), row
    return "", None


def _noted(live: Live, database: str, port: Record) -> Value:
    """The time when Nova made the port a NIC of the server, or None."""
    where = {"uuid": port["id"], "instance_uuid": port["device_id"]}
    found = live.rows(database, "virtual_interfaces", where) if database else []
    return min((row["created_at"] for row in found if row["created_at"]), default=None, key=str)


def _used(live: Live, port: Record) -> bool:
    """True if another resource uses the port, so that it may be freed but not deleted."""
    return any(
        live.rows("neutron", table, {column: port["id"]})
        for table, column in live.referring("neutron", "ports")
        if table not in CHILDREN
    )


REPAIR = Repair(
    name="release-leftover-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("port-without-server", "extra-ports-on-server"),
    unless=nic_or_guest,
    strategies={"api": api, "db": db},
    why="the address of a deleted port returns to the pool and may be given to another port",
)
