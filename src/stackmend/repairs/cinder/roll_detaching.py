# SPDX-License-Identifier: Apache-2.0
"""Set a volume that is stuck in `detaching` back to `in-use`.

## What it does
Sets `volumes.status` to `in-use`, as Cinder's action `os-roll_detaching` does, and in the database `attach_status` to
`attached` if it differs. Attachment, mapping and disk stay. The detach can then be requested again, and Nova completes
it whether or not the guest still has the disk.

## Guards
The volume still has a live attachment, each attachment is unchanged since the plan, its server is idle, and no
migration of the volume is in progress.

## Undo
The status is restored, through the API with `os-begin_detaching`.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.states import HELD
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import BeginDetaching, RollDetaching
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Risk, Step
from stackmend.repairs.calls import api_of, guarded, shown
from stackmend.repairs.common import change, idle


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Cinder; none if the volume is no longer detaching."""
    if not list(db(target, live)):
        return
    volume = str(target["volume"])
    made = RollDetaching(volume=volume)
    found = api_of(live).look(made)
    shown(found, "volume")
    back = BeginDetaching(volume=volume).call({"status": "in-use"})
    yield guarded(made, found, ("status", "migration", "attachments"), back)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the volume is no longer detaching."""
    seen = attachments.read(live, target["volume"])
    volume = seen.live()
    if volume["status"] != "detaching":
        return
    if attachments.implied(seen.attachments) != HELD:
        words = ", ".join(str(a["attach_status"]) for a in seen.attachments) or "none"
        raise CannotRepair(f"volume {volume['id']} has no complete attachment to return to (attach_status: {words})")
    for pair in seen.pairs:
        if not pair.attachments:
            continue
        pair.server.settled()
        if pair.server.row is None:
            raise CannotRepair(f"the volume is attached to {pair.server}, which is deleted: detach the volume instead")
        yield from idle(live, pair.server.database, pair.server.row)
    for row in seen.attachments:
        expect = {column: row[column] for column in ("deleted", "attach_status", "instance_uuid")}
        yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": row["id"]}, expect=expect)
    guards = ("attach_status", "migration_status", "deleted", "updated_at")
    after = {"status": "in-use"} | ({"attach_status": "attached"} if volume["attach_status"] != "attached" else {})
    yield change(live, "cinder", "volumes", volume, after, guards)


REPAIR = Repair(
    name="roll-detaching",
    risk=Risk.SAFE,
    removes={"volumes.status": "'detaching', though nothing is detaching it: attachment and mapping show its state"},
    resource="volume",
    checks=("volume-stuck-detaching",),
    codes=frozenset({"intact"}),
    strategies={"api": api, "db": db},
)
