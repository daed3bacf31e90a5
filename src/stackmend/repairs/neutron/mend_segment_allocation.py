# SPDX-License-Identifier: Apache-2.0
"""Mark a segmentation id as used or free, as Neutron's networks have it.

## What it does
Sets `allocated` in the type driver's table: to 0 if no network segment has the id, to 1 if one does. The id of a
network is never changed.

## Guards
No segment has the id, which is checked again when it is marked; or the segment that has it is unchanged.

## Undo
The mark is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import Repair
from stackmend.model.step import ExpectNone, ExpectRow, Risk, Step
from stackmend.repairs.common import change
from stackmend.repairs.neutron._segments import marked


def db(target: Row, live: Live) -> Iterator[Step]:
    """A step on Neutron's database; none if the mark is right."""
    kind, number = str(target["network_type"]), int(str(target["number"]))
    table, row, used = marked(live, kind, number, str(target["physical_network"]))
    segments = live.rows("neutron", "networksegments", used)
    if row is None or bool(row["allocated"]) is bool(segments):
        return
    if segments:
        for segment in segments:
            yield ExpectRow(database="neutron", table="networksegments", pk={"id": segment["id"]}, expect=used)
    else:
        yield ExpectNone(database="neutron", table="networksegments", where=used)
    yield change(live, "neutron", table, row, {"allocated": 1 if segments else 0})


REPAIR = Repair(
    name="mend-segment-allocation",
    risk=Risk.UNSAFE,
    resource="network",
    checks=("segment-allocation-drift",),
    codes=frozenset({"leak", "free"}),
    strategies={"db": db},
    no_api="Neutron's API neither shows nor changes which segmentation ids are marked as used",
    why="a leaked id may be given to a new network while switches still carry it for something else",
)
