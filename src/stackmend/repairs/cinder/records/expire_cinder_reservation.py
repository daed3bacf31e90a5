# SPDX-License-Identifier: Apache-2.0
"""Remove a quota reservation of Cinder that has expired.

## What it does
What Cinder's periodic task does (`reservation_expire`): subtracts a positive reservation from `quota_usages.reserved`,
but never more than is reserved, and marks the reservation deleted. A negative one only takes effect when it is
committed, so nothing is added for it.

## Guards
The reservation is still live and expired, and both rows are unchanged since the plan.

## Undo
Both rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import BumpRow, Record, Risk, Step
from stackmend.repairs.common import change, moment


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the reservation is gone."""
    row: Record | None = live.row("cinder", "reservations", {"id": int(str(target["reservation"]))})
    if row is None or row["deleted"]:
        return
    if moment(row["expire"]) > moment(live.now()):
        raise CannotRepair(f"reservation {row['id']} expires only at {row['expire']}")
    now, delta = live.now(), int(str(row["delta"]))
    guards = ("delta", "expire", "usage_id", "project_id", "resource")
    yield change(live, "cinder", "reservations", row, {"deleted": 1, "deleted_at": now}, guards)
    usage: Record | None = live.row("cinder", "quota_usages", {"id": row["usage_id"]}) if row["usage_id"] else None
    less = min(delta, int(str(usage["reserved"]))) if usage else 0
    if usage and less > 0:
        yield BumpRow(database="cinder", table="quota_usages", pk={"id": usage["id"]}, column="reserved", by=-less)


REPAIR = Repair(
    name="expire-cinder-reservation",
    risk=Risk.SAFE,
    removes={
        "reservations": "only marked deleted, as Cinder does once it has expired: no request waits for it",
        "quota_usages.reserved": "the amount is in the reservation, whose row stays until a purge",
    },
    resource="project",
    checks=("cinder-reservation-stuck",),
    strategies={"db": db},
    no_api="no API shows or removes reservations; cinder-scheduler expires them, if its periodic task runs",
)
