# SPDX-License-Identifier: Apache-2.0
"""Delete an inactive binding that a move has left on another host.

## What it does
Deletes the port's binding on that host, with its levels. Nothing else about the port changes: it stays bound and
plugged where it is.

Through the API, the account needs the role `service` if Neutron's policy allows nobody else to delete bindings (seen on
Neutron 29). Without that role, the call is refused and nothing changes.

## Guards
The server is idle and on its host, the port belongs to it, the port's ACTIVE binding is on that host, and the binding
to delete is INACTIVE: Neutron's API would delete an ACTIVE one just the same.

## Undo
The binding and its levels are restored. Through the API, Neutron creates a new binding there, which is INACTIVE beside
the ACTIVE one.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.network import CreateBinding, DeleteBinding
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step, Values
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded, shown
from stackmend.repairs.common import idle, revised, still_of, the_server
from stackmend.repairs.ports import without
from stackmend.repairs.whereabouts import at_home, evidence


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Neutron; none if there is no such binding."""
    database, server = the_server(target, live)
    list(idle(live, database, server))
    at_home(live, database, server)
    port, _, left = _bound(target, live, server)
    if left is None:
        return
    made = DeleteBinding(port=str(port["id"]), host=str(left["host"]), server=str(server["uuid"]))
    found = api_of(live).look(made)
    shown(found, "port")
    calls.idle(found, server["uuid"])
    if found["server.host"] != server["host"]:
        raise CannotRepair(
            f"Nova's API shows server {server['uuid']} on {found['server.host']}, not on {server['host']}"
        )
    if found["binding"] != "INACTIVE":
        raise CannotRepair(f"Neutron's API shows a different binding of port {port['id']} on {left['host']}")
    back = CreateBinding(port=made.port, host=made.host).call({"binding": None})
    yield guarded(made, found, ("binding", *SERVER), back)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if there is no such binding."""
    database, server = the_server(target, live)
    port, active, left = _bound(target, live, server)
    if left is None:
        return
    at_home(live, database, server)
    yield from idle(live, database, server)
    yield from still_of([port])
    key: Values = {"port_id": active["port_id"], "host": active["host"]}
    yield ExpectRow(database="neutron", table="ml2_port_bindings", pk=key, expect={"status": "ACTIVE"})
    yield from without(live, left)
    yield revised(live, port["standard_attr_id"])


def _bound(target: Row, live: Live, server: Record) -> tuple[Record, Record, Record | None]:
    """(port, its ACTIVE binding, the INACTIVE one if any); CannotRepair unless the first two match the server."""
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_id": server["uuid"]})
    if port is None:
        raise CannotRepair(f"port {target['port']} is no longer on server {server['uuid']}")
    bindings: list[Record] = list(live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"]}))
    active = [binding for binding in bindings if binding["status"] == "ACTIVE"]
    if len(active) != 1 or str(active[0]["host"]).lower() != str(server["host"]).lower():
        raise CannotRepair(f"port {port['id']} lacks its one active binding on {server['host']}: rebind it first")
    left = (b for b in bindings if b["host"] == target["left_host"] and b["status"] == "INACTIVE")
    return port, active[0], next(left, None)


REPAIR = Repair(
    name="drop-inactive-binding",
    risk=Risk.SAFE,
    removes={
        "ml2_port_bindings": "only an INACTIVE one: the ACTIVE one stays, and the next move creates another",
        "ml2_port_binding_levels": "only the levels of that binding",
    },
    resource="port",
    checks=("port-binding-inactive-leftover",),
    strategies={"api": api, "db": db},
    evidence=evidence,
)
