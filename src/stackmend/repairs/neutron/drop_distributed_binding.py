# SPDX-License-Identifier: Apache-2.0
"""Delete a binding of a distributed port that nothing needs.

## What it does
Deletes the row in `ml2_distributed_port_bindings`, and its binding levels unless an ordinary binding of the port for
the same host has them. Increments the revision number of the port.

## Guards
Checked again when the row is deleted: the router does not exist, or the port is not one of a distributed router, or
Neutron has no agent on the host.

## Undo
The rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, Record, Risk, Step
from stackmend.repairs.common import revised
from stackmend.repairs.ports import removed
from stackmend.tables.neutron import DISTRIBUTED

_BINDINGS = "ml2_distributed_port_bindings"


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the binding is gone."""
    key: Record = {"port_id": str(target["row"]), "host": str(target["host"])}
    binding = live.row("neutron", _BINDINGS, key)
    if binding is None:
        return
    port = live.row("neutron", "ports", {"id": key["port_id"]})
    if port is None:
        raise CannotRepair(f"port {key['port_id']} does not exist: audit again")
    yield from _unneeded(str(target["code"]), live, binding, port)
    if not live.rows("neutron", "ml2_port_bindings", key):
        yield ExpectNone(database="neutron", table="ml2_port_bindings", where=key)
        for level in live.rows("neutron", "ml2_port_binding_levels", key):
            yield removed(live, "ml2_port_binding_levels", level)
    yield removed(live, _BINDINGS, binding)
    yield revised(live, port["standard_attr_id"])


def _unneeded(code: str, live: Live, binding: Record, port: Record) -> Iterator[Step]:
    """Guards: what the finding says is still so. CannotRepair if it is not."""
    if code == "router-gone":
        table, where = "routers", {"id": binding["router_id"]}
    elif code == "host-gone":
        table, where = "agents", {"host": binding["host"]}
    else:
        if port["device_owner"] in DISTRIBUTED:
            raise CannotRepair(f"port {port['id']} is one of a distributed router: audit again")
        expect: Record = {"device_owner": port["device_owner"]}
        yield ExpectRow(database="neutron", table="ports", pk={"id": port["id"]}, expect=expect)
        return
    if live.rows("neutron", table, where):
        raise CannotRepair(f"there is a row in {table} of Neutron that the binding belongs to: audit again")
    yield ExpectNone(database="neutron", table=table, where=where)


REPAIR = Repair(
    name="drop-distributed-binding",
    risk=Risk.SAFE,
    removes={
        _BINDINGS: "how a port was bound on a host for a router that is not there; agents write it from the router",
        "ml2_port_binding_levels": "the segments of that binding",
    },
    resource="neutron-row",
    checks=("qos-or-child-row-orphan",),
    codes=frozenset({"router-gone", "not-distributed", "host-gone"}),
    strategies={"db": db},
    no_api="Neutron's API does not show the bindings of distributed ports; only agents change them",
)
