# SPDX-License-Identifier: Apache-2.0
"""Restore the status of a volume from its attachments.

## What it does
Sets `status` and `attach_status` to what Cinder's own rule makes of the attachments that are live: by the API with
`os-reset_status`, which changes nothing else as long as it is not told `detached`; in the database both columns.

## Guards
Refused where two servers have a volume that may not be shared: setting the status would hide the second writer, and
only a human can say which of them is to keep it. Refused while Cinder works on the volume, and where the server of an
attachment is gone, for then the attachment is what is wrong. Every attachment must read as planned.

## Undo
In the database both columns are put back. There is no way back by the API: it would say that a volume which is in use
is free.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import attachments
from stackmend.cloud.attachments import AT_REST
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import ResetStatus
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.calls import api_of, guarded, shown
from stackmend.repairs.cinder._rows import status_set


def api(target: Row, live: Live) -> Iterator[Step]:
    """A call of Cinder; nothing where the row is right."""
    if not list(db(target, live)):
        return
    seen = attachments.read(live, target["volume"])
    status, attach_status = attachments.implied(seen.attachments)
    if attach_status != "attached":
        raise CannotRepair(f"Cinder's reset-state does not take the attach_status {attach_status}")
    made = ResetStatus(volume=seen.volume, status=status, attach_status=attach_status)
    found = api_of(live).look(made)
    shown(found, "volume")
    if found["status"] == status:
        raise CannotRepair("no API shows attach_status, which is what is wrong")
    yield guarded(made, found, ("status", "migration", "attachments"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; nothing where the row is right."""
    seen = attachments.read(live, target["volume"])
    volume = seen.live()
    having = [pair for pair in seen.pairs if pair.attachments]
    if len(having) > 1 and not volume["multiattach"]:
        names = ", ".join(pair.server.uuid for pair in having)
        raise CannotRepair(
            f"two servers have a volume that may not be shared ({names}) and may both be writing to it: stop one, then"
            f" 'stackmend volume detach {seen.volume} --server SERVER' that one, which sets the status as well"
        )
    if not seen.attachments or attachments.implied(seen.attachments) == (volume["status"], volume["attach_status"]):
        return
    if volume["status"] not in AT_REST:
        raise CannotRepair(f"volume {seen.volume} is {volume['status']}: wait for Cinder to finish that")
    for pair in having:
        pair.server.settled()
        if not pair.server.alive:
            raise CannotRepair(f"{pair.server}, to which the volume is attached, is gone: detach the volume instead")
    yield from status_set(live, volume, seen.attachments, let_go=False)


REPAIR = Repair(
    name="restore-volume-status",
    risk=Risk.SAFE,
    removes={
        "volumes.status": "the volume's attachments and Nova's mappings agree and tell its state",
        "volumes.attach_status": "likewise: it follows from the attachments",
    },
    resource="volume",
    checks=("volume-status-attachment-mismatch",),
    codes=frozenset({"free-but-attached", "two-servers"}),
    strategies={"api": api, "db": db},
)
