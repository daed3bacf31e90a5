# SPDX-License-Identifier: Apache-2.0
"""Rebuild the network cache of a server from Neutron.

## What it does
Writes `network_info` as Nova's own code would build it: ports in NIC order, addresses, floating IPs, DNS, routes, MTU,
binding. A missing row is inserted, a row marked deleted is revived. Ports without a row in `virtual_interfaces` get
one, so that the next rebuild keeps the order.

The flag that keeps a port when the server is deleted (`preserve_on_delete`) is taken from the old document if it can be
read; otherwise it is deduced from the port, and if in doubt the port is kept.

A port that only its `device_id` ties to the server is left out: it has no `virtual_interfaces` row, is not bound to the
server's host and is not in the old document (the check `extra-ports-on-server` covers those). If only the guest could
show whether it is a NIC, the repair refuses.

No API call fills an empty cache. Nova's own healer does, if it is enabled, the host is up, and no port must survive the
server: the healer marks all ports to be deleted with it. In that case the repair waits for the healer.

It does not plug NICs into a guest that started without them: `reattach-ports` does (`plan create --repair
reattach-ports`), or a hard reboot once the cache is right. If nothing else helps, delete the server and create it again
with the same addresses: `stackmend server recreate SERVER --keep-ports`.

## Guards
The server is idle and where it was, and no operation was requested a moment ago; its ports still belong to it, and the
cache row is unchanged since the plan. Refused if the document lists a port that Neutron does not have, because the
document is then the last record of that NIC, or a port that Neutron has as another server's, nobody's or another
project's, which the guest may still use. Also refused if Nova would raise (a network with inconsistent segments), and
for an unbound port of an active server: once written to the cache, a failed binding sets the server to ERROR when its
compute service starts.

## Undo
The old document, or its absence, is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import healing
from stackmend.cloud.evidence.nics import PortStanding, read
from stackmend.cloud.states import UNBOUND
from stackmend.model.finding import Row
from stackmend.model.operations.compute import AwaitHeal
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import InsertRow, Manual, Record, Risk, Step, Values
from stackmend.model.values import members
from stackmend.repairs import calls, nics
from stackmend.repairs.calls import SERVER, api_of, guarded
from stackmend.repairs.common import change, idle, quiet, still_of, the_server
from stackmend.repairs.network_info import Builder, compute_version, parsed, serialised

#: longest wait for Nova's healer, in seconds; it takes one server of a host at a time
_PATIENCE = 600


def api(target: Row, live: Live) -> Iterator[Step]:
    """Wait for Nova's own healer; no steps if the document is already right."""
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
        raise CannotRepair(f"Nova's own healer would treat port {port} as a NIC, but it only has the server's id")
    builder = Builder(live, server, rows, old)
    keep = [str(port["id"]) for port in builder.ports() if builder.keep(port)]
    if keep:
        raise CannotRepair(f"Nova's own healer would mark port {keep[0]} to be deleted with the server")
    others = live.rows(database, "instances", {"host": server["host"], "deleted": 0})
    if (len(others) + 1) * interval > _PATIENCE:
        raise CannotRepair(f"Nova's own healer would take up to {(len(others) + 1) * interval} s")
    macs = [str(vif["address"]) for vif in builder.document() if members(vif["network"])["subnets"]]
    if not macs:
        raise CannotRepair("its ports have no addresses in which Nova's API would show the healed cache")
    made = AwaitHeal(server=str(server["uuid"]), macs=tuple(macs))
    found = api_of(live).look(made)
    calls.idle(found, server["uuid"])
    if found["host"] != "up":
        raise CannotRepair(f"nova-compute of {server['host']} is {found['host']}, and only it heals the cache")
    yield guarded(made, found, (*SERVER, "host"))


def _interval(live: Live) -> int:
    """Seconds between two servers in Nova's healer; CannotRepair if the healer is off."""
    interval = healing.configured(live)
    if not interval:
        known = "off" if interval is not None else f"not known to be on ({healing.SETTING}, [files] nova)"
        raise CannotRepair(f"no call fills an empty network cache, and Nova's own healer is {known}")
    return interval


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if the document is already right."""
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
            text=f"Port {port} carries the id of server {server['uuid']} but is left out of its cache ({why}). Nova"
            " deletes it with the server: run the check extra-ports-on-server, and clear its device if it has an owner."
        )


def _nothing_lost(live: Live, server: Record, old: list[dict[str, object]] | None) -> None:
    """CannotRepair if the document lists a port that the new one would not: the guest may have that NIC."""
    listed = sorted({str(vif["id"]) for vif in old or [] if vif.get("id")})
    known = {str(row["id"]): row for row in live.rows("neutron", "ports", {"id": listed})} if listed else {}
    for port in listed:
        row = known.get(port)
        if row is None:
            raise CannotRepair(
                f"the network cache of server {server['uuid']} is the last record of port {port}, which Neutron does"
                " not have: repair info-cache-stale-port first (restore-port or drop-stale-vif)"
            )
        if row["device_id"] != server["uuid"]:
            raise CannotRepair(
                f"the network cache of server {server['uuid']} lists port {port}, but in Neutron its device is"
                f" {row['device_id'] or 'empty'}: its guest may still have that NIC. Repair info-cache-stale-port"
                " first (drop-stale-vif)"
            )
        if row["project_id"] != server["project_id"]:
            raise CannotRepair(
                f"port {port} is in project {row['project_id']}, its server {server['uuid']} in {server['project_id']}:"
                " Nova, and so this repair, would leave out a NIC that the guest has. Give the server a port of its own"
                " project first"
            )


def _leftovers(live: Live, database: str, server: Record, old: list[dict[str, object]] | None) -> dict[str, str]:
    """Port -> why it is not one of the server's NICs; CannotRepair if only the guest can show it."""
    found = {}
    for port, judged in read(live, database, server, [str(vif.get("id")) for vif in old or []]).items():
        if judged.standing in (PortStanding.UNCLEAR, PortStanding.ADOPTED):
            raise CannotRepair(
                f"only the guest shows whether port {port} ({judged.port['mac_address']}) is a NIC of server"
                f" {server['uuid']}: {judged.why}. If 'virsh domiflist' on {server['host'] or 'its last host'} does not"
                f" list it, clear its device: openstack port unset --device {port}"
            )
        if judged.standing is PortStanding.LEFTOVER:
            found[port] = judged.why
    return found


def _sound(server: Record, vifs: list[dict[str, object]]) -> None:
    failed = [str(v["id"]) for v in vifs if v["type"] is None or v["type"] in UNBOUND]
    if failed and server["vm_state"] == "active":
        raise CannotRepair(
            f"port {failed[0]} is a NIC of the active server {server['uuid']}, but not bound. Let Neutron bind it to"
            f" the server's host, then plan again: openstack port set --host {server['host']} {failed[0]}"
        )


REPAIR = Repair(
    name="rebuild-info-cache",
    risk=Risk.SAFE,
    removes={
        "instance_info_caches.network_info": "rebuilt from Neutron's ports; refused if it lists a port that Neutron has"
        " lost, and its flags of ports to keep are preserved",
        "instance_info_caches.deleted": "a deletion mark on a row that a live server needs",
    },
    checks=(
        "info-cache-empty",
        "info-cache-missing-port",
        "info-cache-row-missing-or-deleted",
        "soft-deleted-server-cache-empty",
    ),
    strategies={"api": api, "db": db},
)
