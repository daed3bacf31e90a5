# SPDX-License-Identifier: Apache-2.0
"""Mark the remaining rows of a deleted backup deleted.

## What it does
The missing deletion time of the backup is set: that of its volume if deleted, else now. Live rows of `backup_metadata`
that belong to it are marked deleted with the same time.

## Guards
The backup must still be marked deleted, and every row must be unchanged since the plan.

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


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if all rows are marked."""
    yield from _deletion.part_finished(live, "backups", str(target["backup"]), {"backup_metadata": "backup_id"})


REPAIR = Repair(
    name="finish-backup-deletion",
    risk=Risk.SAFE,
    removes={"backup_metadata": "only marked deleted, as their backup is: the rows stay until a purge"},
    resource="backup",
    checks=("backup-deleted-incompletely",),
    strategies={"db": db},
    no_api="no API shows the remaining rows of a backup that is marked deleted",
)
