# SPDX-License-Identifier: Apache-2.0
"""Delete a dynamic segment that no port uses, and give its id back.

## What it does
Does what Neutron does when it unbinds the last port of a dynamic segment: deletes the segment with its standard
attributes, and marks its id as free in the table of its type driver, unless another network has the same id.

## Guards
The segment is still dynamic, and no level of any port's binding names it, which is checked again when it is deleted. A
segment that anything else refers to (a subnet, for example) is refused.

## Undo
The rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Risk, Step
from stackmend.repairs.common import change
from stackmend.repairs.neutron._segments import TABLES, marked
from stackmend.repairs.ports import removed, unmarked

_LEVELS = "ml2_port_binding_levels"


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the segment is gone or used."""
    segment = live.row("neutron", "networksegments", {"id": str(target["segment"])})
    if segment is None or not segment["is_dynamic"] or live.rows("neutron", _LEVELS, {"segment_id": segment["id"]}):
        return
    for table, column in live.referring("neutron", "networksegments"):
        for _ in live.rows("neutron", table, {column: segment["id"]}):
            raise CannotRepair(f"segment {segment['id']} is used by {table}: remove it from there first")
    yield ExpectNone(database="neutron", table=_LEVELS, where={"segment_id": segment["id"]})
    kind = str(segment["network_type"])
    if kind in TABLES and segment["segmentation_id"] is not None:
        physical = str(segment["physical_network"] or "")
        table, row, used = marked(live, kind, int(str(segment["segmentation_id"])), physical)
        others = [one for one in live.rows("neutron", "networksegments", used) if one["id"] != segment["id"]]
        if row is not None and row["allocated"] and not others:
            yield change(live, "neutron", table, row, {"allocated": 0})
    yield removed(live, "networksegments", segment)
    yield from unmarked(live, segment["standard_attr_id"], f"segment {segment['id']}")
    for row in live.rows("neutron", "standardattributes", {"id": segment["standard_attr_id"]}):
        yield removed(live, "standardattributes", row)


REPAIR = Repair(
    name="release-dynamic-segment",
    risk=Risk.UNSAFE,
    resource="segment",
    checks=("dynamic-segment-unused",),
    strategies={"db": db},
    no_api="Neutron deletes dynamic segments only by itself, with the last port, and does not try again",
    why="the id may be given to a new network while switches still carry it for something else",
)
