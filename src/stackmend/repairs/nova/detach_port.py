# SPDX-License-Identifier: Apache-2.0
"""Take a port from its server, and keep the port with its addresses.

## What it does
From a server that there is Nova takes the port: its host unplugs the NIC, the cache and Nova's row of the NIC go with
it, and a port that is to survive its server (`preserve_on_delete` in the network cache) is left in Neutron without
device and host. Any other port Nova deletes: such a port has to be kept first (`stackmend port keep`), or its end be
asked for by `--delete`.

From a server that is gone Neutron takes it: device and host are cleared, its addresses stay.

## Guards
The server is active, paused or stopped, it is idle, nothing was asked of it just now, its nova-compute is up, and its
cache lists the port: of one that it does not list Nova says that it is not attached. For a server that is gone: no cell
has it, and none is being built of that id.

## Undo
The port is attached again, with the tag that its NIC had, as the last NIC; to a server that is gone it gets its device
and host back. A port that was deleted stays deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.states import ATTACHES
from stackmend.model.finding import Row
from stackmend.model.operations.interfaces import AttachInterface, DetachInterface
from stackmend.model.operations.network import UpdatePort
from stackmend.model.protocols import Live
from stackmend.model.repair import AlreadySo, CannotRepair, Repair
from stackmend.model.step import Record, Risk, Step
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded, shown
from stackmend.repairs.common import idle, live_server, no_such_server, quiet
from stackmend.repairs.network_info import parsed
from stackmend.repairs.ports import free, told_to_ovn


def api(target: Row, live: Live) -> Iterator[Step]:
    """A call to Nova, or to Neutron if the server is gone."""
    port = _port(target, live)
    found = live_server(live, str(port["device_id"]))
    if found is None:
        yield from _left_behind(target, live, port)
        return
    database, server = found
    keeps = not target.get("delete")
    kept = _kept(live, database, server, port)
    if keeps and not kept:
        raise CannotRepair(
            f"Nova deletes port {port['id']} when it is detached, and its addresses are lost. Keep it first, 'stackmend"
            f" port keep --allow-db {port['id']}', as this does itself with --allow-db, or ask for its end by --delete"
        )
    if kept and not keeps:
        raise CannotRepair(
            f"Nova keeps port {port['id']} when it is detached. First 'stackmend port release --allow-db {port['id']}',"
            " or detach it without --delete"
        )
    _at_rest(live, database, server)
    made = DetachInterface(server=str(server["uuid"]), port=str(port["id"]), keeps=keeps)
    seen = api_of(live, DetachInterface, AttachInterface).look(made)
    shown(seen, "port")
    calls.idle(seen, server["uuid"])
    if seen["host"] != "up":
        raise CannotRepair(f"nova-compute of {server['host']} is {seen['host']}: the request would not be processed")
    back = AttachInterface(server=made.server, port=made.port, tag=_tag(live, database, server, port))
    inverse = back.call({"port": "present", "port.device_id": ""}) if keeps else None
    yield guarded(made, seen, (*SERVER, "host", "port.device_id"), inverse)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database, for a server that is gone."""
    port = _port(target, live)
    if live_server(live, str(port["device_id"])) is not None:
        raise CannotRepair(f"server {port['device_id']} has it: only Nova takes a NIC from a guest, by its API")
    _no_end(target, port)
    yield from no_such_server(live, port["device_id"])
    yield from free(live, port)
    yield from told_to_ovn(live, port)


def _port(target: Row, live: Live) -> Record:
    """The port; CannotRepair unless Nova has attached it to a server."""
    port = live.row("neutron", "ports", {"id": str(target["port"])})
    if port is None:
        raise CannotRepair(f"neutron has no port {target['port']}")
    if not port["device_id"]:
        raise AlreadySo(f"port {port['id']} is on no server")
    owner = str(port["device_owner"])
    if owner == "compute:kuryr" or not owner.startswith(("compute:", "baremetal:")):
        raise CannotRepair(f"port {port['id']} is not a server's: its owner is {owner or 'nobody'}")
    return port


def _kept(live: Live, database: str, server: Record, port: Record) -> bool:
    """Whether Nova only unbinds the port; CannotRepair if Nova would not find it."""
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"], "deleted": 0})
    vifs = parsed(cache["network_info"]) if cache else None
    vif = next((v for v in vifs or [] if v.get("id") == port["id"]), None)
    if vif is None:
        raise CannotRepair(
            f"the network cache of server {server['uuid']} does not list port {port['id']}, so that Nova would not"
            f" detach it: rebuild it first, 'stackmend server cache rebuild --allow-db {server['uuid']}'"
        )
    return vif.get("preserve_on_delete") is True


def _at_rest(live: Live, database: str, server: Record) -> None:
    """CannotRepair unless Nova detaches ports in the state of the server, and no operation is in progress."""
    state = server["vm_state"]
    if state not in ATTACHES:
        raise CannotRepair(
            f"server {server['uuid']} is {state}: Nova detaches ports of no servers but those that are active, paused"
            " or stopped"
        )
    list(idle(live, database, server))
    quiet(live, database, server["uuid"])


def _tag(live: Live, database: str, server: Record, port: Record) -> str | None:
    """The tag that identifies the NIC in the guest."""
    where = {"uuid": port["id"], "instance_uuid": server["uuid"], "deleted": 0}
    return next((str(row["tag"]) for row in live.rows(database, "virtual_interfaces", where) if row["tag"]), None)


# -- a server that is gone


def _left_behind(target: Row, live: Live, port: Record) -> Iterator[Step]:
    _no_end(target, port)
    list(no_such_server(live, port["device_id"]))
    found = api_of(live).look(UpdatePort(port=str(port["id"]), values={}))
    shown(found, "port")
    calls.server_absent(found, port["device_id"])
    yield calls.let_go(str(port["id"]), found, ("status", *SERVER))


def _no_end(target: Row, port: Record) -> None:
    if target.get("delete"):
        raise CannotRepair(
            f"the server of port {port['id']} is gone: Neutron deletes the port, 'openstack port delete {port['id']}'"
        )


def evidence(target: Row, live: Live) -> tuple[str, ...]:
    """A sentence about what happens to the port."""
    port = live.row("neutron", "ports", {"id": str(target["port"])})
    if port is None:
        return ()
    addresses = sorted(str(row["ip_address"]) for row in live.rows("neutron", "ipallocations", {"port_id": port["id"]}))
    what = f"The port and {', '.join(addresses)}" if addresses else "The port"
    if target.get("delete"):
        return (f"{what} are deleted with it.",)
    gone = live_server(live, str(port["device_id"])) is None
    return (f"{what} stay, in Neutron's hands{': its server is gone' if gone else ''}.",)


REPAIR = Repair(
    name="detach-port",
    risk=Risk.UNSAFE,
    resource="port",
    strategies={"api": api, "db": db},
    evidence=evidence,
    why="the guest is without that NIC until it is attached again; with --delete the port and its address are lost",
)
