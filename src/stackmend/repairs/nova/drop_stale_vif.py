# SPDX-License-Identifier: Apache-2.0
"""Remove a port that no longer belongs to a server from its network cache.

Where Neutron has no such port, the cache and the row in `virtual_interfaces` are the last records of the NIC: of its
MAC, its addresses and its place in a guest that may still run with it. This is right where somebody deleted the port;
where Neutron lost it, `restore-port` is. The operator says which: `plan create --repair drop-stale-vif`.

## What it does
By the API, for a port that is another's by now, Nova is sent the event with which Neutron says that a port was deleted:
its host unplugs the NIC and forgets it. Nova leaves its row of the NIC alone then, as it always does: `mend-vif-rows`
is for that.

In the database it removes that one VIF from `network_info` and marks its `virtual_interfaces` row deleted. The other
VIFs stay as they are.

## Guards
The server is idle and where it was; the document reads as it did when the plan was made; Neutron still has no such
port of this server. Refused for a port that lost nothing but its `device_id` and is ACTIVE on the server's host, and
where several servers of the host have lost all their ports. Never by the API for a port that Neutron does not have: the
host would take the NIC from the guest for good.

## Undo
The document and the row are put back. What the API has unplugged stays so.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.compute import VifDeleted
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Manual, Risk, Step, Value
from stackmend.model.values import members
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded
from stackmend.repairs.common import Record, change, idle, marked_deleted, the_server
from stackmend.repairs.lost_ports import not_wholesale
from stackmend.repairs.network_info import parsed, serialised


def api(target: Row, live: Live) -> Iterator[Step]:
    """A call of Nova; nothing where the cache does not list the port."""
    if not list(db(target, live)):
        return
    database, server = the_server(target, live)
    port, services = str(target["port"]), api_of(live)
    if live.row("neutron", "ports", {"id": port}) is None:
        raise CannotRepair("its host would take the NIC from the guest, and no record of the port would be left")
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"], "deleted": 0})
    vif = next(v for v in parsed(cache["network_info"] if cache else None) or [] if v.get("id") == port)
    # not a detach: Nova fails over a port that Neutron does not have, and deletes one that somebody else has got
    made = VifDeleted(port=port, server=str(server["uuid"]), mac=str(vif.get("address")))
    found = services.look(made)
    calls.idle(found, server["uuid"])
    if found["host"] != "up":
        raise CannotRepair(f"nova-compute of {server['host']} is {found['host']}: nobody would do it")
    if not found["listed"]:
        raise CannotRepair(f"Nova's API shows no address of port {port}, so that what becomes of it cannot be seen")
    yield guarded(made, found, (*SERVER, "host", "listed"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; nothing where the cache does not list the port."""
    database, server = the_server(target, live)
    port = str(target["port"])
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"], "deleted": 0})
    vifs = parsed(cache["network_info"]) if cache else None
    if cache is None or vifs is None:
        raise CannotRepair(f"the network cache of {server['uuid']} cannot be read: rebuild it")
    left = [v for v in vifs if v.get("id") != port]
    if len(left) == len(vifs):
        return
    _not_in_use(live, database, server, port)
    yield from idle(live, database, server)
    yield ExpectNone(database="neutron", table="ports", where={"id": port, "device_id": server["uuid"]})
    after = {"network_info": serialised(left), "updated_at": live.now()}
    yield change(live, database, "instance_info_caches", cache, after, ("deleted",))
    where: Record = {"uuid": port, "instance_uuid": server["uuid"], "deleted": 0}
    for row in live.rows(database, "virtual_interfaces", where):
        yield marked_deleted(live, database, "virtual_interfaces", row)
    if any(members(vif.get("profile")).get("allocation") for vif in vifs if vif.get("id") == port):
        yield Manual(
            text=f"The port had bandwidth: see 'openstack resource provider allocation show {server['uuid']}' for what"
            " of it is left."
        )


def _not_in_use(live: Live, database: str, server: Record, port: Value) -> None:
    """CannotRepair for a port that works on the server's host without a device, and for one lost among many."""
    row = live.row("neutron", "ports", {"id": port})
    if row is None:
        not_wholesale(live, database, server)
        return
    if row["device_id"] or row["status"] != "ACTIVE":
        return
    where = {"port_id": port, "host": server["host"], "status": "ACTIVE"}
    if server["host"] and live.rows("neutron", "ml2_port_bindings", where):
        owner = f"compute:{server['availability_zone']}"
        raise CannotRepair(
            f"port {port} has no device, but is ACTIVE on {server['host']}: the guest uses it. Give it back with"
            f" 'openstack port set --device {server['uuid']} --device-owner {owner} {port}', or unbind it first"
        )


REPAIR = Repair(
    name="drop-stale-vif",
    risk=Risk.UNSAFE,
    checks=("info-cache-stale-port",),
    codes=frozenset({"gone", "not of this server"}),
    strategies={"api": api, "db": db},
    why="a guest that still has the NIC loses it, at its next reboot at the latest, and the last record of it",
)
