# SPDX-License-Identifier: Apache-2.0
"""Remove a port that no longer belongs to a server from its network cache.

If Neutron has no such port, the cache and the row in `virtual_interfaces` are the last records of the NIC: of its MAC,
its addresses and its position in a guest that may still run with it. This repair is right if somebody deleted the port;
if Neutron lost it, use `restore-port`. The operator chooses: `plan create --repair drop-stale-vif`.

## What it does
Through the API, for a port that now belongs to another device, Nova is sent the event with which Neutron announces that
a port was deleted: the server's host unplugs the NIC and drops it from the cache. Nova then leaves its
`virtual_interfaces` row, as it always does: `mend-vif-rows` repairs that.

In the database, the VIF is removed from `network_info` and its `virtual_interfaces` row is marked deleted. The other
VIFs stay as they are.

## Guards
The server is idle and where it was, the document is unchanged since the plan, and Neutron still has no such port for
this server. Refused for a port that lost only its `device_id` and is ACTIVE on the server's host, and if several
servers of the host have lost all their ports. Never done through the API for a port that Neutron does not have: the
host would unplug the NIC from the guest for good.

## Undo
The document and the row are restored. A NIC unplugged through the API is not plugged in again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.compute import VifDeleted
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Manual, Record, Risk, Step, Value
from stackmend.model.values import members
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded
from stackmend.repairs.common import change, idle, marked_deleted, the_server
from stackmend.repairs.lost_ports import not_wholesale
from stackmend.repairs.network_info import parsed, serialised
from stackmend.repairs.sighted import nic_used


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Nova; none if the cache does not list the port."""
    if not list(db(target, live)):
        return
    database, server = the_server(target, live)
    port, services = str(target["port"]), api_of(live)
    if live.row("neutron", "ports", {"id": port}) is None:
        raise CannotRepair("its host would unplug the NIC from the guest, and no record of the port would remain")
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"], "deleted": 0})
    vif = next(v for v in parsed(cache["network_info"] if cache else None) or [] if v.get("id") == port)
    # not a detach: Nova fails on a port that Neutron does not have, and deletes one that now belongs to another device
    made = VifDeleted(port=port, server=str(server["uuid"]), mac=str(vif.get("address")))
    found = services.look(made)
    calls.idle(found, server["uuid"])
    if found["host"] != "up":
        raise CannotRepair(f"nova-compute on {server['host']} is {found['host']}: it cannot process the event")
    if not found["listed"]:
        raise CannotRepair(f"Nova's API shows no address of port {port}, so the result could not be verified")
    yield guarded(made, found, (*SERVER, "host", "listed"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if the cache does not list the port."""
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
            text=f"The port had bandwidth: check 'openstack resource provider allocation show {server['uuid']}' for a"
            " leftover."
        )


def _not_in_use(live: Live, database: str, server: Record, port: Value) -> None:
    """CannotRepair for a port that is ACTIVE on the server's host without a device, and for mass losses."""
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
            f"port {port} has no device, but is ACTIVE on {server['host']}: the guest uses it. Restore the device with"
            f" 'openstack port set --device {server['uuid']} --device-owner {owner} {port}', or unbind it first"
        )


REPAIR = Repair(
    name="drop-stale-vif",
    risk=Risk.UNSAFE,
    checks=("info-cache-stale-port",),
    codes=frozenset({"gone", "not of this server"}),
    unless=nic_used,
    strategies={"api": api, "db": db},
    why="a guest that still has the NIC loses it at its next reboot at the latest, and its last record is removed",
)
