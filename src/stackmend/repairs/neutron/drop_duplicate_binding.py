# SPDX-License-Identifier: Apache-2.0
"""Delete active bindings of a server's port on hosts other than the server's.

## What it does
Deletes each of these bindings with its levels, and increments the port's revision number. The binding on the server's
host is not touched. Through the API, the account needs the role `service`.

## Guards
The server is idle and on its host according to every record, and the port has an active binding there. A port that does
not belong to a server is refused, because no row says which binding is right.

## Undo
The bindings and their levels are restored. Through the API this is not possible: Neutron would create them inactive.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.network import DeleteBinding
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded, shown
from stackmend.repairs.common import idle, live_server, revised, still_of
from stackmend.repairs.ports import told_to_ovn, without
from stackmend.repairs.whereabouts import at_home


def api(target: Row, live: Live) -> Iterator[Step]:
    """API calls to Neutron; none if the port has one active binding."""
    seen = _bindings(target, live)
    if seen is None:
        return
    database, server, port, _, others = seen
    list(idle(live, database, server))
    for other in others:
        made = DeleteBinding(port=str(port["id"]), host=str(other["host"]), server=str(server["uuid"]))
        found = api_of(live).look(made)
        shown(found, "port")
        calls.idle(found, server["uuid"])
        if found["server.host"] != server["host"]:
            raise CannotRepair(
                f"Nova's API shows server {server['uuid']} on {found['server.host']}, not on {server['host']}"
            )
        yield guarded(made, found, ("binding", *SERVER))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the port has one active binding."""
    seen = _bindings(target, live)
    if seen is None:
        return
    database, server, port, kept, others = seen
    yield from idle(live, database, server)
    yield from still_of([port])
    pk = {"port_id": kept["port_id"], "host": kept["host"]}
    yield ExpectRow(database="neutron", table="ml2_port_bindings", pk=pk, expect={"status": "ACTIVE"})
    for other in others:
        yield from without(live, other)
    yield revised(live, port["standard_attr_id"])
    yield from told_to_ovn(live, port)


def _bindings(target: Row, live: Live) -> tuple[str, Record, Record, Record, list[Record]] | None:
    """(database, server, port, binding on the server's host, other active ones); None if there is only one or none."""
    port = live.row("neutron", "ports", {"id": str(target["port"])})
    active: list[Record] = list(
        live.rows("neutron", "ml2_port_bindings", {"port_id": str(target["port"]), "status": "ACTIVE"})
    )
    if port is None or len(active) < 2:
        return None
    hosts = ", ".join(sorted(str(row["host"]) or "no host" for row in active))
    placed = None
    if str(port["device_owner"]).startswith("compute:") and port["device_id"]:
        placed = live_server(live, str(port["device_id"]))
    if placed is None:
        raise CannotRepair(
            f"port {port['id']} ({port['device_owner']}) is no server's: no row says which binding is right ({hosts})."
            f" Find out where it is plugged, then: DELETE /v2.0/ports/{port['id']}/bindings/<another host>"
        )
    database, server = placed
    at_home(live, database, server)
    kept = next((row for row in active if str(row["host"]).lower() == str(server["host"]).lower()), None)
    if kept is None:
        raise CannotRepair(f"none of the active bindings ({hosts}) is on {server['host']}, the host of the server")
    return database, server, port, kept, [row for row in active if row is not kept]


REPAIR = Repair(
    name="drop-duplicate-binding",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("port-binding-duplicate-active",),
    strategies={"api": api, "db": db},
    why="the guest loses its network on that port if it runs on another host than the one in Nova",
)
