# SPDX-License-Identifier: Apache-2.0
"""Rebuild the network cache of a server from Neutron.

## What it does
Writes `network_info` as Nova's own code would build it: ports in the order of the NICs, addresses, floating IPs, DNS,
routes, MTU, binding. A missing row is inserted, one that is marked deleted is revived. Ports without a row in
`virtual_interfaces` get one, so that the next rebuild keeps the order.

Which ports survive the server's deletion (`preserve_on_delete`) is taken from the old document where it can be read;
else it is deduced from the port, and in doubt the port is kept.

## Guards
The server is idle and where it was, its ports are still its, and the cache row reads as it did when the plan was made.
It refuses where Nova would raise (a network whose segments make no sense), and for a port of an active server that is
not bound: written down, a failed binding sets the server to ERROR when its compute service starts.

## Undo
The old document, or its absence, is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import InsertRow, Risk, Step, Values
from stackmend.repairs import nics
from stackmend.repairs.common import Record, change, idle, still_of, the_server
from stackmend.repairs.network_info import Builder, compute_version, parsed, serialised

_UNBOUND = frozenset({"unbound", "binding_failed", None})


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; nothing where the document is right already."""
    database, server = the_server(target, live)
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"]})
    rows = nics.alive(nics.rows(live, database, server))
    old = parsed(cache["network_info"]) if cache else None
    builder = Builder(live, server, rows, old, compute_version(live, database, server))
    vifs, ports = builder.document(), builder.ports()
    if cache and cache["deleted"] == 0 and old == vifs:
        return
    _sound(server, vifs)
    yield from idle(live, database, server)
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
