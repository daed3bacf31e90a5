# SPDX-License-Identifier: Apache-2.0
"""Count the incremental backups that depend on a backup again.

## What it does
Sets `backups.num_dependent_backups` to the number of live backups whose `parent_id` names the backup.

## Guards
No backup that refers to it is being created or deleted, or has failed: Cinder counts these at another moment. The
backup is live and unchanged since the plan, and so is every backup that refers to it.

## Undo
The previous number is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.states import BACKUP_WHOLE
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, Risk, Step
from stackmend.repairs.common import change


def db(target: Row, live: Live) -> Iterator[Step]:
    """A step on Cinder's database; none if the number is right."""
    backup = live.row("cinder", "backups", {"id": str(target["backup"]), "deleted": 0})
    if backup is None:
        raise CannotRepair(f"Cinder has no live backup {target['backup']}")
    children = live.rows("cinder", "backups", {"parent_id": backup["id"], "deleted": 0})
    for child in children:
        if child["status"] not in BACKUP_WHOLE:
            raise CannotRepair(f"backup {child['id']}, which depends on it, is {child['status']}")
    if int(str(backup["num_dependent_backups"] or 0)) == len(children):
        return
    for child in children:
        expect = {name: child[name] for name in ("parent_id", "deleted", "status")}
        yield ExpectRow(database="cinder", table="backups", pk={"id": child["id"]}, expect=expect)
    new = {"parent_id": backup["id"], "deleted": 0, "status": "creating"}
    yield ExpectNone(database="cinder", table="backups", where=new)
    yield change(live, "cinder", "backups", backup, {"num_dependent_backups": len(children)}, ("deleted", "status"))


REPAIR = Repair(
    name="recount-dependent-backups",
    risk=Risk.SAFE,
    removes={"backups.num_dependent_backups": "it is the number of live rows that name the backup as their parent"},
    resource="backup",
    checks=("backup-dependent-count-drift",),
    strategies={"db": db},
    no_api="Cinder's API shows only whether the number is zero, and does not change it",
)
