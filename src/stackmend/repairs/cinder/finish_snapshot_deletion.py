# SPDX-License-Identifier: Apache-2.0
"""Mark the remaining rows of a deleted snapshot deleted.

## What it does
The missing deletion time of the snapshot is set: that of its volume if deleted, else now. Live rows of
`snapshot_metadata` and `volume_glance_metadata` that belong to it are marked deleted with the same time.

## Guards
The snapshot must still be marked deleted, and every row must be unchanged since the plan.

## Undo
All rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.cinder import _deletion

_CHILDREN = ("snapshot_metadata", "volume_glance_metadata")


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if all rows are marked."""
    yield from _deletion.part_finished(
        live, "snapshots", str(target["snapshot"]), dict.fromkeys(_CHILDREN, "snapshot_id")
    )


REPAIR = Repair(
    name="finish-snapshot-deletion",
    risk=Risk.SAFE,
    removes=dict.fromkeys(_CHILDREN, "only marked deleted, as their snapshot is: the rows stay until a purge"),
    resource="volume",
    checks=("snapshot-deleted-incompletely",),
    strategies={"db": db},
    no_api="no API shows the remaining rows of a snapshot that is marked deleted",
)
