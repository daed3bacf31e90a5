# SPDX-License-Identifier: Apache-2.0
"""Delete a port that holds a public address for a floating IP that does not exist.

## What it does
Deletes the port with its child rows, and its address returns to the pool. Through the API, Neutron does it: it refuses
to delete such a port only while the floating IP named by its `device_id` exists (read in the source of Neutron 29).

## Guards
The port still has the owner `network:floatingip` and the same `device_id`, and no floating IP uses it. A port that any
other resource uses is refused.

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

_OWNER = "network:floatingip"


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Neutron; none if the port is deleted or in use."""
    port = _orphan(target, live)
    if port is None:
        return
    other = live.row("neutron", "floatingips", {"id": port["device_id"]})
    if other is not None:
        raise CannotRepair(
            f"Neutron refuses to delete port {port['id']}: floating IP {other['id']} exists and uses port"
            f" {other['floating_port_id']}"
        )
    made = DeletePort(port=str(port["id"]))
    found = api_of(live).look(made)
    shown(found, "port")
    if found["device_owner"] != _OWNER:
        raise CannotRepair(f"Neutron's API shows another owner of port {port['id']}: {found['device_owner']}")
    yield guarded(made, found, ("device_id", "device_owner"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the port is deleted or in use."""
    port = _orphan(target, live)
    if port is None:
        return
    yield ExpectNone(database="neutron", table="floatingips", where={"floating_port_id": port["id"]})
    yield from delete(live, port)
    yield from told_to_ovn(live, port)


def _orphan(target: Row, live: Live) -> Record | None:
    """The port; None if it is deleted, has another owner or is used by a floating IP."""
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_owner": _OWNER})
    if port is None or live.rows("neutron", "floatingips", {"floating_port_id": port["id"]}):
        return None
    return port


REPAIR = Repair(
    name="delete-floating-ip-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("floating-ip-port-orphan",),
    strategies={"api": api, "db": db},
    why="the public address returns to the pool and may be given to somebody else",
)
