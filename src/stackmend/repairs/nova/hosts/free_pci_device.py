# SPDX-License-Identifier: Apache-2.0
"""Free a PCI device that is claimed for a server that does not use it.

## What it does
Sets the device to `available`, without server and request. As Nova does, a physical function whose other virtual
functions are all free becomes available with its last one, and the virtual functions of a physical function with it.

## Guards
The device is unchanged since the plan; the server is not on the host of the device, which is checked again at the time
of writing.

## Undo
The rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, Record, Risk, Step, Values
from stackmend.model.values import whole
from stackmend.repairs.common import at_rest, change

_TABLE = "pci_devices"
_FREE: Values = {"status": "available", "instance_uuid": None, "request_id": None}


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell of the device; none if it is free, or claimed for another server."""
    database, server = cell_database(str(target["cell"])), str(target["server"])
    device = live.row(database, _TABLE, {"id": whole(target["device"])})
    if device is None or device["instance_uuid"] != server or device["status"] not in ("claimed", "allocated"):
        return
    node = live.row(database, "compute_nodes", {"id": device["compute_node_id"]})
    if node is None:
        raise CannotRepair(f"PCI device {device['address']} belongs to no compute node")
    for cell in live.cells():
        here: Record = {"uuid": server, "deleted": 0, "host": node["host"]}
        if live.rows(cell_database(cell), "instances", here):
            raise CannotRepair(f"server {server} is on {node['host']} by now")
        at_rest(live, cell_database(cell), server)
        yield ExpectNone(database=cell_database(cell), table="instances", where=here)
    guards = ("compute_node_id", "address", "deleted")
    yield change(live, database, _TABLE, device, _FREE, guards)
    for row in _relatives(live, database, device):
        yield change(live, database, _TABLE, row, {"status": "available"}, guards)


def _relatives(live: Live, database: str, device: Record) -> list[Record]:
    """Devices that could not be used because of this one, and can be from now on (nova/objects/pci_device.py, free)."""
    every = live.rows(database, _TABLE, {"compute_node_id": device["compute_node_id"], "deleted": 0})
    if device["dev_type"] == "type-PF":
        return [row for row in every if row["parent_addr"] == device["address"] and row["status"] == "unavailable"]
    siblings = [row for row in every if row["parent_addr"] and row["parent_addr"] == device["parent_addr"]]
    if any(row["status"] != "available" for row in siblings if row["id"] != device["id"]):
        return []
    return [row for row in every if row["address"] == device["parent_addr"] and row["status"] == "unavailable"]


REPAIR = Repair(
    name="free-pci-device",
    risk=Risk.UNSAFE,
    checks=("pci-device-leak",),
    strategies={"db": db},
    no_api="no API frees a device; nova-compute does when it starts, if its host is up",
    why="if a guest still has the device, another one may be given it as well",
)
