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

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Risk
from stackmend.repairs.neutron._unused_ports import Unused, strategies


def _found(target: Row, live: Live) -> Unused | None:
    """The port; None if it is deleted or its router exists."""
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_id": str(target["router"])})
    if port is None or live.row("neutron", "routers", {"id": port["device_id"]}) is not None:
        return None
    if "router" not in str(port["device_owner"]):
        raise CannotRepair(f"port {port['id']} is no router's: its device owner is {port['device_owner']}")
    return Unused(port, (ExpectNone(database="neutron", table="routers", where={"id": port["device_id"]}),))


REPAIR = Repair(
    name="delete-router-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("router-port-drift",),
    codes=frozenset({"router-gone"}),
    strategies=strategies(_found),
    why="the address of the port, often a gateway's, returns to the pool and may be given to another port",
)
