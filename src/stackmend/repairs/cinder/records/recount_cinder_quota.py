# SPDX-License-Identifier: Apache-2.0
"""Count again what a project uses of a quota in Cinder.

## What it does
Sets `quota_usages.in_use` to what the project's live volumes, snapshots or backups add up to, by Cinder's own rules
(`_sync_volumes` and the like), and `reserved` to 0 if no reservation exists.

## Guards
No reservation of that quota is open, which is checked again when the row is written: a request would change the
number. The row must be unchanged since the plan. If the project has snapshots, gigabytes are not recounted: whether
they include snapshots is set in `no_snapshot_gb_quota`, so the plan names the command of Cinder that knows it. The same
applies while a volume of the project is deleted incompletely, and before Xena to volumes named `backup-vol-...`: no
column says there whether a backup made them for itself, and Cinder would not count them.

## Undo
The previous numbers are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Record, Risk, Step
from stackmend.repairs.common import change
from stackmend.repairs.volume_rows import counts


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the number is right."""
    project, what = str(target["project"]), str(target["what"])
    usage: Record | None = live.row("cinder", "quota_usages", {"project_id": project, "resource": what, "deleted": 0})
    if usage is None:
        return
    if target["used"] != target["most"]:
        raise CannotRepair(
            f"how many {what} count depends on no_snapshot_gb_quota of Cinder, or on a volume that is deleted"
            " incompletely or (before Xena) may have been made by a backup for itself: run cinder-manage quota sync"
            f" --project-id {project}"
        )
    if waiting := live.rows("cinder", "reservations", {"usage_id": usage["id"], "deleted": 0}):
        raise CannotRepair(f"{len(waiting)} reservation(s) of {what} of project {project} are open")
    right: Record = {"in_use": _used(live, project, what), "reserved": 0}
    wrong = {name: value for name, value in right.items() if usage[name] != value}
    if not wrong:
        return
    yield ExpectNone(database="cinder", table="reservations", where={"usage_id": usage["id"], "deleted": 0})
    yield change(live, "cinder", "quota_usages", usage, wrong, ("in_use", "reserved", "updated_at", "deleted"))


def _used(live: Live, project: str, what: str) -> int:
    """What the live rows add up to; a type is named after the first underscore."""
    where: Record = {"project_id": project, "deleted": 0}
    if what in ("backups", "backup_gigabytes"):
        rows = live.rows("cinder", "backups", where)
        return len(rows) if what == "backups" else sum(int(str(row["size"] or 0)) for row in rows)
    kind, _, name = what.partition("_")
    if name:
        types = live.rows("cinder", "volume_types", {"name": name})
        if not types:
            return 0
        rows = [r for t in types for r in live.rows("cinder", _table(kind), {**where, "volume_type_id": t["id"]})]
    else:
        rows = live.rows("cinder", _table(kind), where)
    counting = [row for row in rows if counts(row)]
    return sum(int(str(row["size"] or 0)) for row in counting) if kind == "gigabytes" else len(counting)


def _table(kind: str) -> str:
    return "snapshots" if kind == "snapshots" else "volumes"


REPAIR = Repair(
    name="recount-cinder-quota",
    risk=Risk.SAFE,
    removes={
        "quota_usages.in_use": "it is what the live volumes, snapshots or backups of the project add up to",
        "quota_usages.reserved": "no reservation exists that it counts",
    },
    resource="project",
    checks=("cinder-quota-drift",),
    strategies={"db": db},
    no_api="Cinder's API shows usages, but only cinder-manage quota sync recounts them",
)
