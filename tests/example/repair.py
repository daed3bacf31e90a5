# SPDX-License-Identifier: Apache-2.0
"""Let a volume no longer wait for a migration that nobody begins.

## What it does
Clears `volumes.migration_status`.

## Guards
The volume is available, and reads as planned.

## Undo
The status of the migration is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.common import change


def db(target: Row, live: Live) -> Iterator[Step]:
    """One step on Cinder's database; nothing where no migration is waited for."""
    for volume in live.rows("cinder", "volumes", {"id": target["volume"], "deleted": 0}):
        if volume["migration_status"] == "starting":
            guards = ("status", "attach_status", "deleted", "updated_at")
            yield change(live, "cinder", "volumes", volume, {"migration_status": None}, guards)


REPAIR = Repair(
    name="clear-migration-status",
    risk=Risk.SAFE,
    removes={"volumes.migration_status": "'starting', of a migration that nobody began"},
    resource="volume",
    checks=("volume-migration-left",),
    strategies={"db": db},
    no_api="Cinder's API resets the status of a migration for an admin alone, and this is an example",
)
