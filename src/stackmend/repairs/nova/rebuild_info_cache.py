# SPDX-License-Identifier: Apache-2.0
"""Rebuild the network cache of a server from Neutron.

## What it does
Writes `network_info` as Nova's own code would build it: ports in the order of the NICs, addresses, floating IPs, DNS,
routes, MTU, binding. A missing row is inserted, one that is marked deleted is revived. Ports without a row in
`virtual_interfaces` get one, so that the next rebuild keeps the order.

Which ports survive the server's deletion (`preserve_on_delete`) is taken from the old document where it can be read;
else it is deduced from the port, and in doubt the port is kept.

## Guards
The server is idle and where it was; the cache row reads as it did when the plan was made. It refuses where Nova
would: a port of an active server whose binding failed, a network whose segments make no sense.

## Undo
The old document, or its absence, is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import InsertRow, Risk, Step, UpdateRow, Values
from stackmend.repairs.common import Record, idle, the_server
from stackmend.repairs.network_info import Builder, parsed, serialised

_UNBOUND = frozenset({"unbound", "binding_failed", None})


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; nothing where the document is right already."""
    database, server = the_server(target, live)
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"]})
    rows = live.rows(database, "virtual_interfaces", {"instance_uuid": server["uuid"], "deleted": 0})
    rows.sort(key=lambda r: int(str(r["id"])))
    old = parsed(cache["network_info"]) if cache else None
    builder = Builder(live, server, rows, old)
    vifs = builder.document()
    if cache and cache["deleted"] == 0 and old == vifs:
        return
    _sound(server, vifs)
    yield from idle(live, database, server)
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
        yield UpdateRow(
            database=database,
            table="instance_info_caches",
            pk={"id": cache["id"]},
            before={name: cache[name] for name in after},
            after=after,
        )
    known = {row["uuid"] for row in rows}
    for port in builder.ports():
        if port["id"] not in known:
            yield vif_row(database, server, port, now)


def vif_row(database: str, server: Record, port: Record, now: str) -> InsertRow:
    """The row of a NIC, as Nova writes it: the address is the MAC and the port's id."""
    return InsertRow(
        database=database,
        table="virtual_interfaces",
        key={"uuid": port["id"], "instance_uuid": server["uuid"], "deleted": 0},
        values={
            "uuid": port["id"],
            "address": f"{port['mac_address']}/{port['id']}",
            "instance_uuid": server["uuid"],
            "network_id": None,
            "tag": None,
            "created_at": now,
            "updated_at": None,
            "deleted_at": None,
            "deleted": 0,
        },
    )


def _sound(server: Record, vifs: list[dict[str, object]]) -> None:
    failed = [str(v["id"]) for v in vifs if v["type"] in _UNBOUND]
    if failed and server["vm_state"] == "active":
        raise CannotRepair(
            f"port {failed[0]} of the active server {server['uuid']} is not bound: see to its binding first"
            " (any update of the port through Neutron binds it), then plan again"
        )


REPAIR = Repair(
    name="rebuild-info-cache",
    risk=Risk.SAFE,
    checks=("info-cache-empty", "info-cache-row-missing-or-deleted"),
    strategies={"db": db},
)
