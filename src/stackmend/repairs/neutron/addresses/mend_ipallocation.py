# SPDX-License-Identifier: Apache-2.0
"""Delete an address that belongs to no port, or let it name the network of its port.

## What it does
For an address without a port: deletes its row in `ipallocations` and its row in Neutron's IPAM, so that the address can
be given to a port again. For an address whose row names a network other than that of its port and subnet: replaces the
row with one that names their network (the network is part of the primary key), and increments the port's revision
number.

## Guards
The row is unchanged since the plan, so it still names no port; or the port and the subnet still agree on the network.

An address without a port is kept if anybody may use it unseen, as a guest does whose port was deleted by SQL. The
guards are those of `mend-ipam-allocation`: no network cache of a server that may be alive, no floating IP and no
allowed address pair names it, and no port or NIC that may be its owner has lost its address.

## Undo
The rows are restored. If Neutron has given the address to a port in the meantime, undo stops there and says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, InsertRow, Record, Risk, Step
from stackmend.repairs.addresses import unused
from stackmend.repairs.common import revised
from stackmend.repairs.ports import given_back, removed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the row is gone or fits."""
    fixed = live.row("neutron", "ipallocations", _key(target))
    if fixed is None:
        return
    if fixed["port_id"] is None:
        unused(live, fixed["network_id"], str(fixed["ip_address"]))
        yield from given_back(live, fixed)
        yield removed(live, "ipallocations", fixed)
        return
    port = live.row("neutron", "ports", {"id": fixed["port_id"]})
    subnet = live.row("neutron", "subnets", {"id": fixed["subnet_id"]})
    if port is None or subnet is None or port["network_id"] != subnet["network_id"]:
        raise CannotRepair(f"port {fixed['port_id']} and subnet {fixed['subnet_id']} are not in the same network")
    if fixed["network_id"] == port["network_id"]:
        return
    network = {"network_id": port["network_id"]}
    yield ExpectRow(database="neutron", table="ports", pk={"id": port["id"]}, expect=network)
    yield ExpectRow(database="neutron", table="subnets", pk={"id": subnet["id"]}, expect=network)
    yield removed(live, "ipallocations", fixed)
    values: Record = {**fixed, **network}
    key = {name: values[name] for name in ("ip_address", "subnet_id", "network_id")}
    yield InsertRow(database="neutron", table="ipallocations", key=key, values=values)
    yield revised(live, port["standard_attr_id"])


def _key(target: Row) -> Record:
    return {
        "ip_address": str(target["address"]),
        "subnet_id": str(target["subnet"]),
        "network_id": str(target["network"]),
    }


REPAIR = Repair(
    name="mend-ipallocation",
    risk=Risk.UNSAFE,
    resource="subnet",
    checks=("ipallocation-invalid",),
    codes=frozenset({"no-port", "wrong-network"}),
    strategies={"db": db},
    no_api="Neutron's API shows addresses only as those of a port, and refuses a network other than the port's",
    why="an address without a port that something outside Neutron uses may be given to a port",
)
