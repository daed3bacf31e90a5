# SPDX-License-Identifier: Apache-2.0
"""Rebuild the network cache of a server from Neutron.

## What it does
Writes `network_info` as Nova's own code would build it: ports in the order of the NICs, addresses, floating IPs, DNS,
routes, MTU, binding. A missing row is inserted, one that is marked deleted is revived. Ports without a row in
`virtual_interfaces` get one, so that the next rebuild keeps the order.

Which ports survive the server's deletion (`preserve_on_delete`) is taken from the old document where it can be read;
else it is deduced from the port, and in doubt the port is kept.

A port that nothing but its `device_id` gives to the server is left out: no row of a NIC, not bound to its host, not in
the old document (`extra-ports-on-server` is about those). Where only the guest could tell it refuses.

No call of any API fills an empty cache. Nova's own healer does, where it is on, its host is up, and no port is to
survive the server: the healer marks all of them to be deleted with it. Then that is waited for.

## Guards
The server is idle and where it was, and nothing was asked of it just now; its ports are still its, and the cache row
reads as it did when the plan was made. It refuses where the document lists a port that Neutron does not have, for then
it is the last record of that NIC, or has as another server's, nobody's or another project's, which the guest may still
use; where Nova would raise (a network whose segments make no sense), and for a port of an
active server that is not bound: written down, a failed binding sets the server to ERROR when its compute service
starts.

## Undo
The old document, or its absence, is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import healing
from stackmend.cloud.nics import Standing, read
from stackmend.cloud.states import UNBOUND
from stackmend.model.finding import Row
from stackmend.model.operations.compute import AwaitHeal
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import InsertRow, Manual, Risk, Step, Values
from stackmend.model.values import members
from stackmend.repairs import calls, nics
from stackmend.repairs.calls import SERVER, api_of, guarded
from stackmend.repairs.common import Record, change, idle, quiet, still_of, the_server
from stackmend.repairs.network_info import Builder, compute_version, parsed, serialised

#: longest wait for Nova's healer, in seconds; it takes one server of a host at a time
_PATIENCE = 600


def api(target: Row, live: Live) -> Iterator[Step]:
    """Wait for Nova's own healer; nothing where the document is right already."""
    if not list(db(target, live)):
        return
    database, server = the_server(target, live)
    rows = nics.alive(nics.rows(live, database, server))
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"]})
    if cache is not None and cache["deleted"]:
        raise CannotRepair("Nova never heals a cache that is marked deleted")
    interval = _interval(live)
    old = parsed(cache["network_info"]) if cache else None
    for port in _leftovers(live, database, server, old):
        raise CannotRepair(f"Nova's own healer would take port {port} for a NIC, which only carries the server's id")
    builder = Builder(live, server, rows, old)
    keep = [str(port["id"]) for port in builder.ports() if builder.keep(port)]
    if keep:
        raise CannotRepair(f"Nova's own healer would mark port {keep[0]} to be deleted with the server")
    others = live.rows(database, "instances", {"host": server["host"], "deleted": 0})
    if (len(others) + 1) * interval > _PATIENCE:
        raise CannotRepair(f"Nova's own healer would take up to {(len(others) + 1) * interval} s for it")
    macs = [str(vif["address"]) for vif in builder.document() if members(vif["network"])["subnets"]]
    if not macs:
        raise CannotRepair("its ports have no addresses, by which Nova's API would show that it was healed")
    made = AwaitHeal(server=str(server["uuid"]), macs=tuple(macs))
    found = api_of(live).look(made)
    calls.idle(found, server["uuid"])
    if found["host"] != "up":
        raise CannotRepair(f"nova-compute of {server['host']} is {found['host']}, and no other one heals it")
    yield guarded(made, found, (*SERVER, "host"))


def _interval(live: Live) -> int:
    """Seconds from one server to the next, as Nova's healer is set; CannotRepair where it is off."""
    interval = healing.configured(live)
    if not interval:
        known = "off" if interval is not None else f"not known to be on ({healing.SETTING}, [files] nova)"
        raise CannotRepair(f"no call fills an empty network cache, and Nova's own healer is {known}")
    return interval


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; nothing where the document is right already."""
    database, server = the_server(target, live)
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"]})
    rows = nics.alive(nics.rows(live, database, server))
    old = parsed(cache["network_info"]) if cache else None
    _nothing_lost(live, server, old)
    without = _leftovers(live, database, server, old)
    builder = Builder(live, server, rows, old, compute_version(live, database, server), without)
    vifs, ports = builder.document(), builder.ports()
    if cache and cache["deleted"] == 0 and old == vifs:
        return
    _sound(server, vifs)
    yield from idle(live, database, server)
    quiet(live, database, server["uuid"])
    yield from still_of(ports)
    now = live.now()
    if cache is None:
        values = {"instance_uuid": server["uuid"], "network_info": serialised(vifs), "created_at": now, "deleted": 0}
        yield InsertRow(
            database=database,
            table="instance_info_caches",
            key={"instance_uuid": server["uuid"]},
            values={**values, "updated_at": None, "deleted_at": None},
        )
    else:
        after: Values = {"network_info": serialised(vifs), "updated_at": now, "deleted": 0, "deleted_at": None}
        yield change(live, database, "instance_info_caches", cache, after)
    yield from nics.completed(live, database, server, ports)
    for port, why in without.items():
        yield Manual(
            text=f"Port {port} carries the id of server {server['uuid']} and is left out of its cache ({why}). Nova"
            " deletes it with the server: audit (extra-ports-on-server), and take its id from it if it is somebody's."
        )


def _nothing_lost(live: Live, server: Record, old: list[dict[str, object]] | None) -> None:
    """CannotRepair where the document lists a port that it would no longer list: the guest may have that NIC."""
    listed = sorted({str(vif["id"]) for vif in old or [] if vif.get("id")})
    known = {str(row["id"]): row for row in live.rows("neutron", "ports", {"id": listed})} if listed else {}
    for port in listed:
        row = known.get(port)
        if row is None:
            raise CannotRepair(
                f"the network cache of server {server['uuid']} is the last record of port {port}, which Neutron does"
                " not have: mend info-cache-stale-port first (restore-port, or drop-stale-vif)"
            )
        if row["device_id"] != server["uuid"]:
            raise CannotRepair(
                f"the network cache of server {server['uuid']} lists port {port}, which Neutron has as"
                f" {row['device_id'] or 'nobody'}'s: its guest may still have that NIC. Mend info-cache-stale-port"
                " first (drop-stale-vif)"
            )
        if row["project_id"] != server["project_id"]:
            raise CannotRepair(
                f"port {port} is of project {row['project_id']}, its server {server['uuid']} of {server['project_id']}:"
                " Nova, and so this, would leave a NIC out that the guest has. Give the server a port of its own"
                " project first"
            )


def _leftovers(live: Live, database: str, server: Record, old: list[dict[str, object]] | None) -> dict[str, str]:
    """Port -> why it is none of the server's NICs. CannotRepair for one of which only the guest tells."""
    found = {}
    for port, judged in read(live, database, server, [str(vif.get("id")) for vif in old or []]).items():
        if judged.standing in (Standing.UNCLEAR, Standing.ADOPTED):
            raise CannotRepair(
                f"whether port {port} ({judged.port['mac_address']}) is a NIC of server {server['uuid']} only the guest"
                f" tells: {judged.why}. If 'virsh domiflist' on {server['host'] or 'its last host'} does not show it,"
                f" take the server's id from it: openstack port unset --device {port}"
            )
        if judged.standing is Standing.LEFTOVER:
            found[port] = judged.why
    return found


def _sound(server: Record, vifs: list[dict[str, object]]) -> None:
    failed = [str(v["id"]) for v in vifs if v["type"] is None or v["type"] in UNBOUND]
    if failed and server["vm_state"] == "active":
        raise CannotRepair(
            f"port {failed[0]} is a NIC of the active server {server['uuid']}, and not bound. Let Neutron bind it to"
            f" the server's host, then plan again: openstack port set --host {server['host']} {failed[0]}"
        )


REPAIR = Repair(
    name="rebuild-info-cache",
    risk=Risk.SAFE,
    removes={
        "instance_info_caches.network_info": "built anew of Neutron's ports; refused where it lists a port that Neutron"
        " has lost, and what it says of ports that are to be kept is taken over",
        "instance_info_caches.deleted": "a mark on a row that a live server needs",
    },
    checks=(
        "info-cache-empty",
        "info-cache-missing-port",
        "info-cache-row-missing-or-deleted",
        "soft-deleted-server-cache-empty",
    ),
    strategies={"api": api, "db": db},
)
