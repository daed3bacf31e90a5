# SPDX-License-Identifier: Apache-2.0
"""Let a router have the record of its port that the port says it should have.

## What it does
Inserts the row in `routerports` with the port's owner as its kind, or corrects the kind in it, and increments the
revision numbers of the router and of the port. The L3 agent and OVN learn of the change with the next update of the
router, which the plan shows. A row that names another router is refused: no row says which of the two is right. So is a
gateway port that is not the one the router names as its gateway.

## Guards
The port still has the same owner and router, the router exists, and the row is unchanged or still missing.

## Undo
The row is restored, or the inserted one is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, InsertRow, Manual, Risk, Step
from stackmend.repairs.common import change, revised
from stackmend.repairs.ports import told_to_ovn

_GATEWAY = "network:router_gateway"


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if router and port agree."""
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_id": str(target["router"])})
    router = live.row("neutron", "routers", {"id": str(target["router"])})
    if port is None or router is None:
        return
    rows = live.rows("neutron", "routerports", {"port_id": port["id"]})
    if any(row["router_id"] != router["id"] for row in rows):
        raise CannotRepair(
            f"port {port['id']} is recorded for router {rows[0]['router_id']}, and says itself that it is router"
            f" {router['id']}'s. Find out which is right, then: openstack router remove port {rows[0]['router_id']}"
            f" {port['id']}"
        )
    if rows and rows[0]["port_type"] == port["device_owner"]:
        return
    if port["device_owner"] == _GATEWAY and router["gw_port_id"] != port["id"]:
        raise CannotRepair(
            f"port {port['id']} says that it is the gateway of router {router['id']}, whose gateway is"
            f" {router['gw_port_id'] or 'none'}. If no floating IP needs it: openstack port delete {port['id']}"
        )
    names = ("device_id", "device_owner")
    yield ExpectRow(
        database="neutron", table="ports", pk={"id": port["id"]}, expect={name: port[name] for name in names}
    )
    if rows:
        yield change(live, "neutron", "routerports", rows[0], {"port_type": port["device_owner"]})
    else:
        key = {"router_id": router["id"], "port_id": port["id"]}
        values = {**key, "port_type": port["device_owner"]}
        yield InsertRow(database="neutron", table="routerports", key=key, values=values)
    yield revised(live, router["standard_attr_id"])
    yield revised(live, port["standard_attr_id"])
    yield Manual(
        text="Let Neutron tell its agents, which interrupts the router's traffic for a moment: openstack router set"
        f" --disable {router['id']}, then openstack router set --enable {router['id']}"
    )
    yield from told_to_ovn(live, port)


REPAIR = Repair(
    name="mend-router-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("router-port-drift",),
    codes=frozenset({"no-row", "wrong-row"}),
    strategies={"db": db},
    no_api="Neutron's API refuses to add a port that belongs to a router already, and to remove one that it lacks",
    why="a subnet is routed that was not, if the interface had been removed on purpose and only its port was left",
)
