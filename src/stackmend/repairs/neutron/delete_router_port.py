# SPDX-License-Identifier: Apache-2.0
"""Delete a port whose router does not exist.

## What it does
Deletes the port with its child rows, and its address returns to the pool. Through the API, Neutron does it: it refuses
to delete a router's port only while the router exists (read in the source of Neutron 29).

## Guards
The port still has the same owner and `device_id`, and no router has that id. A port that any other resource uses is
refused.

## Undo
Every row is restored; an address that was given to another port in the meantime is not taken back. Through the API, the
port stays deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.network import DeletePort
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Record, Risk, Step
from stackmend.repairs.calls import api_of, guarded, shown
from stackmend.repairs.ports import delete, told_to_ovn


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Neutron; none if the port is deleted or has a router."""
    port = _stray(target, live)
    if port is None:
        return
    made = DeletePort(port=str(port["id"]))
    found = api_of(live).look(made)
    shown(found, "port")
    if found["device_owner"] != port["device_owner"] or found["device_id"] != port["device_id"]:
        raise CannotRepair(f"Neutron's API shows another owner of port {port['id']}: {found['device_owner']}")
    yield guarded(made, found, ("device_id", "device_owner"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the port is deleted or has a router."""
    port = _stray(target, live)
    if port is None:
        return
    yield ExpectNone(database="neutron", table="routers", where={"id": port["device_id"]})
    yield from delete(live, port)
    yield from told_to_ovn(live, port)


def _stray(target: Row, live: Live) -> Record | None:
    """The port; None if it is deleted or its router exists."""
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_id": str(target["router"])})
    if port is None or live.row("neutron", "routers", {"id": port["device_id"]}) is not None:
        return None
    if "router" not in str(port["device_owner"]):
        raise CannotRepair(f"port {port['id']} is no router's: its device owner is {port['device_owner']}")
    return port


REPAIR = Repair(
    name="delete-router-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("router-port-drift",),
    codes=frozenset({"router-gone"}),
    strategies={"api": api, "db": db},
    why="the address of the port, often a gateway's, returns to the pool and may be given to another port",
)
