# SPDX-License-Identifier: Apache-2.0
"""Restore the status of a volume from its attachments.

## What it does
Sets `status` and `attach_status` to the values that Cinder's own rule derives from the live attachments: through the
API with `os-reset_status`, which changes nothing else unless it sets `detached`; in the database both columns.

## Guards
Refused if two servers have a volume that is not multi-attach: setting the status would hide the second writer, and
only a human can decide which of them keeps it. Refused while Cinder works on the volume, and if the server of an
attachment is deleted, because then the attachment is wrong. Every attachment must be unchanged since the plan.

## Undo
In the database both columns are restored. The API call cannot be undone: it would mark a volume in use as free.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.evidence.attachments import AT_REST
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import ResetStatus
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.calls import api_of, guarded, shown
from stackmend.repairs.volume_rows import status_set


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Cinder; none if the row is right."""
    if not list(db(target, live)):
        return
    seen = attachments.read(live, target["volume"])
    status, attach_status = attachments.implied(seen.attachments)
    if attach_status != "attached":
        raise CannotRepair(f"Cinder's reset-state does not accept attach_status {attach_status}")
    made = ResetStatus(volume=seen.volume, status=status, attach_status=attach_status)
    found = api_of(live).look(made)
    shown(found, "volume")
    if found["status"] == status:
        raise CannotRepair("attach_status is wrong, and no API shows it")
    yield guarded(made, found, ("status", "migration", "attachments"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the row is right."""
    seen = attachments.read(live, target["volume"])
    volume = seen.live()
    having = [pair for pair in seen.pairs if pair.attachments]
    if len(having) > 1 and not volume["multiattach"]:
        names = ", ".join(pair.server.uuid for pair in having)
        raise CannotRepair(
            f"two servers have a volume that is not multi-attach ({names}) and may both be writing to it: stop one,"
            f" then run 'stackmend volume detach {seen.volume} --server SERVER' for it, which sets the status as well"
        )
    if not seen.attachments or attachments.implied(seen.attachments) == (volume["status"], volume["attach_status"]):
        return
    if volume["status"] not in AT_REST:
        raise CannotRepair(f"volume {seen.volume} is {volume['status']}: wait for Cinder to finish")
    for pair in having:
        pair.server.settled()
        if not pair.server.alive:
            raise CannotRepair(f"the volume is attached to {pair.server}, which is deleted: detach the volume instead")
    yield from status_set(live, volume, seen.attachments, let_go=False)


REPAIR = Repair(
    name="restore-volume-status",
    risk=Risk.SAFE,
    removes={
        "volumes.status": "the volume's attachments and Nova's mappings agree on its state",
        "volumes.attach_status": "likewise: it follows from the attachments",
    },
    resource="volume",
    checks=("volume-status-attachment-mismatch",),
    codes=frozenset({"free-but-attached", "two-servers"}),
    strategies={"api": api, "db": db},
)
