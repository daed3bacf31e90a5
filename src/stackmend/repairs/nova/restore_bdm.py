# SPDX-License-Identifier: Apache-2.0
"""Bring back the block device mapping of a volume that Cinder still has attached.

## What it does
The mapping that Nova had marked deleted for this very attachment is made live again. Its connection information never
leaves its row, so nothing is made up: where no such mapping is left, the repair says what can be done instead.

## Guards
Refused while something is happening to the server, where the pair has two attachments, where another mapping has
taken the same device name or boot index, or where no mapping of that attachment is left. The attachment must still be
live, and no other mapping of the volume may have come meanwhile.

## Undo
The mapping is marked deleted again, as it was.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, Risk, Step, Value
from stackmend.repairs.cinder._rows import live_server, live_volume
from stackmend.repairs.common import change, idle


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell's database; nothing where Nova has a mapping again or Cinder no attachment any more."""
    volume, server = str(target["volume"]), str(target["server"])
    live_volume(live, volume)
    pair: dict[str, Value] = {"volume_id": volume, "instance_uuid": server, "deleted": 0}
    attachments = live.rows("cinder", "volume_attachment", pair)
    if not attachments:
        return
    if len(attachments) > 1:
        raise CannotRepair(f"volume {volume} has {len(attachments)} attachments to server {server}")
    attachment = attachments[0]
    found = live_server(live, server)
    if found is None:
        raise CannotRepair(f"server {server} is gone: detach the volume instead")
    database, row = found
    mappings = live.rows(database, "block_device_mapping", {"instance_uuid": server})
    alive = [m for m in mappings if m["deleted"] == 0]
    if any(m["volume_id"] == volume for m in alive):
        return
    lost = [m for m in mappings if m["deleted"] and m["attachment_id"] == attachment["id"] and m["volume_id"] == volume]
    if not lost:
        raise CannotRepair(
            f"no deleted mapping of attachment {attachment['id']} is left to restore. If the guest has the disk, stop"
            " the server and attach anew by nova-manage volume_attachment refresh; if it has not, DELETE"
            f" /v3/attachments/{attachment['id']} or request detach-volume"
        )
    mapping = lost[-1]
    for column in ("device_name", "boot_index"):
        taken = mapping[column] not in (None, "", -1) and any(m[column] == mapping[column] for m in alive)
        if taken:
            raise CannotRepair(f"another disk of server {server} has {column} {mapping[column]} by now")
    yield from idle(live, database, row)
    expect = {column: attachment[column] for column in ("deleted", "attach_status", "instance_uuid", "volume_id")}
    yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": attachment["id"]}, expect=expect)
    yield ExpectNone(database=database, table="block_device_mapping", where=pair)
    guards = ("instance_uuid", "volume_id", "attachment_id", "device_name", "boot_index")
    after = {"deleted": 0, "deleted_at": None}
    yield change(live, database, "block_device_mapping", mapping, after, guards)


REPAIR = Repair(
    name="restore-bdm",
    risk=Risk.UNSAFE,
    resource="volume",
    checks=("cinder-attached-nova-not",),
    strategies={"db": db},
    no_api="Nova makes no mapping for an attachment that Cinder has already; without the disk in the guest"
    " request detach-volume",
    why="if the guest was meant to lose the disk, its next hard reboot plugs it in again",
)
