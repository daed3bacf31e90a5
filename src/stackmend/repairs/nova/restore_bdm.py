# SPDX-License-Identifier: Apache-2.0
"""Restore the block device mapping of a volume that Cinder still has attached.

## What it does
The mapping of this same attachment that Nova marked deleted is made live again. Its connection information never leaves
its row, so nothing is invented: if no such mapping exists, the repair says what can be done instead. If the volume is
marked available although it is attached, its status follows.

## Guards
Refused while an operation is in progress on the server, if the pair has two attachments, if another mapping has the
same device name or boot index, and if no mapping of the attachment is left. The attachment must still be live, and no
other mapping of the volume may have been created in the meantime.

## Undo
The mapping is marked deleted again, as it was.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.evidence.attachments import AT_REST, ServerVolume
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, Record, Risk, Step, Value
from stackmend.repairs.common import change, idle
from stackmend.repairs.volume_rows import status_set


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell's and Cinder's databases; none if Nova has a mapping again or Cinder no attachment."""
    seen, name = attachments.read(live, target["volume"]), str(target["server"])
    volume, pair = seen.live(), seen.pair(name)
    if pair is None or not pair.attachments or pair.mappings:
        return
    if len(pair.attachments) > 1:
        raise CannotRepair(f"volume {seen.volume} has {len(pair.attachments)} attachments to server {name}")
    pair.server.settled()
    database, row = pair.server.database, pair.server.row
    if row is None:
        raise CannotRepair(f"server {name} is deleted: detach the volume instead")
    mapping, attachment = _lost(pair, live), pair.attachments[0]
    yield from idle(live, database, row)
    expect = {column: attachment[column] for column in ("deleted", "attach_status", "instance_uuid", "volume_id")}
    yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": attachment["id"]}, expect=expect)
    where: dict[str, Value] = {"volume_id": seen.volume, "instance_uuid": name, "deleted": 0}
    yield ExpectNone(database=database, table="block_device_mapping", where=where)
    guards = ("instance_uuid", "volume_id", "attachment_id", "device_name", "boot_index")
    after = {"deleted": 0, "deleted_at": None}
    yield change(live, database, "block_device_mapping", mapping, after, guards)
    if volume["status"] in AT_REST and attachments.implied(seen.attachments)[1] != "detached":
        yield from status_set(live, volume, seen.attachments, let_go=False)


def _lost(pair: ServerVolume, live: Live) -> Record:
    """The deleted mapping of that attachment; CannotRepair if there is none, or its place is taken."""
    attachment, name = pair.attachments[0], pair.server.uuid
    lost = [m for m in pair.dropped if m["attachment_id"] == attachment["id"]]
    if not lost:
        raise CannotRepair(
            f"no deleted mapping of attachment {attachment['id']} is left to restore. If the guest has the disk, stop"
            " the server and create a new attachment with nova-manage volume_attachment refresh; if not, DELETE"
            f" /v3/attachments/{attachment['id']} or request the repair detach-volume"
        )
    where: dict[str, Value] = {"instance_uuid": name, "deleted": 0}
    alive = live.rows(pair.server.database, "block_device_mapping", where)
    mapping: Record = lost[-1]
    for column in ("device_name", "boot_index"):
        if mapping[column] not in (None, "", -1) and any(m[column] == mapping[column] for m in alive):
            raise CannotRepair(f"another disk of server {name} now has {column} {mapping[column]}")
    return mapping


REPAIR = Repair(
    name="restore-bdm",
    risk=Risk.UNSAFE,
    resource="volume",
    checks=("cinder-attached-nova-not",),
    strategies={"db": db},
    no_api="Nova creates no mapping for an attachment that Cinder already has; if the guest does not have the disk,"
    " request detach-volume",
    why="if the guest was meant to lose the disk, its next hard reboot attaches it again",
)
