# SPDX-License-Identifier: Apache-2.0
"""Let the levels of a port's binding fit the binding.

## What it does
Deletes levels for a host to which the port has no binding. If the port is bound to the host, sets its one level to the
network's segment, or inserts the missing level with the driver that bound the other ports on that host. The port's
revision number is incremented.

Refused if the network has several static segments or a dynamic one, if several drivers bind ports on the host, or if
the port has several levels (hierarchical binding): then no row says what is right, and Neutron has to bind the port
again.

## Guards
The binding, its levels and the segment are unchanged since the plan.

## Undo
The levels are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.states import UNBOUND
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, InsertRow, Record, Risk, Step, Values
from stackmend.repairs.common import change, revised
from stackmend.repairs.ports import removed

_LEVELS = "ml2_port_binding_levels"


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if levels and binding fit."""
    port = live.row("neutron", "ports", {"id": str(target["port"])})
    if port is None:
        return
    key: Values = {"port_id": port["id"], "host": str(target["host"])}
    binding = live.row("neutron", "ml2_port_bindings", key)
    levels = live.rows("neutron", _LEVELS, key)
    if binding is None:
        if levels and not live.rows("neutron", "ml2_distributed_port_bindings", key):
            yield ExpectNone(database="neutron", table="ml2_port_bindings", where=key)
            for level in levels:
                yield removed(live, _LEVELS, level)
            yield revised(live, port["standard_attr_id"])
        return
    if binding["vif_type"] in UNBOUND or binding["status"] != "ACTIVE":
        return
    segment = _segment(live, port, key)
    if len(levels) == 1 and levels[0]["segment_id"] == segment["id"]:
        return
    if len(levels) > 1 or (levels and levels[0]["level"] != 0):
        raise CannotRepair(f"port {port['id']} has several levels on {key['host']}. {_again(key)}")
    yield ExpectRow(
        database="neutron", table="ml2_port_bindings", pk=key,
        expect={"vif_type": binding["vif_type"], "status": "ACTIVE"},
    )  # fmt: skip
    network = {"network_id": port["network_id"]}
    yield ExpectRow(database="neutron", table="networksegments", pk={"id": segment["id"]}, expect=network)
    if levels:
        yield change(live, "neutron", _LEVELS, levels[0], {"segment_id": segment["id"]}, ("driver",))
    else:
        pk = {**key, "level": 0}
        values = {**pk, "driver": _driver(live, binding), "segment_id": segment["id"]}
        yield InsertRow(database="neutron", table=_LEVELS, key=pk, values=values)
    yield revised(live, port["standard_attr_id"])


def _segment(live: Live, port: Record, key: Values) -> Record:
    """The one segment of the port's network."""
    found = live.rows("neutron", "networksegments", {"network_id": port["network_id"]})
    if len(found) != 1 or found[0]["is_dynamic"]:
        raise CannotRepair(f"network {port['network_id']} has {len(found)} segments. {_again(key)}")
    return found[0]


def _driver(live: Live, binding: Record) -> str:
    """The one driver that bound ports like this one on its host."""
    same = {"host": binding["host"], "vif_type": binding["vif_type"], "vnic_type": binding["vnic_type"]}
    others = [row["port_id"] for row in live.rows("neutron", "ml2_port_bindings", same)]
    levels = live.rows("neutron", _LEVELS, {"host": binding["host"], "port_id": others})
    drivers = {str(level["driver"]) for level in levels}
    key: Values = {"port_id": binding["port_id"], "host": binding["host"]}
    if len(drivers) != 1:
        raise CannotRepair(f"{len(drivers)} drivers have bound ports like this one on {key['host']}. {_again(key)}")
    if layered := [level["port_id"] for level in levels if level["level"] != 0]:
        raise CannotRepair(f"port {layered[0]} on {key['host']} has several levels: this one may, too. {_again(key)}")
    return drivers.pop()


def _again(key: Values) -> str:
    return (
        "Let Neutron bind it again, which interrupts its traffic: openstack port unset --host"
        f" {key['port_id']}, then openstack port set --host {key['host']} {key['port_id']}"
    )


REPAIR = Repair(
    name="mend-binding-levels",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("port-binding-levels-missing",),
    strategies={"db": db},
    no_api="Neutron's API shows no levels, and makes them only by binding the port again, which interrupts its traffic",
    why="the port is served on the wrong segment if it was bound by another driver than the others on its host",
)
