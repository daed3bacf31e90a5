# SPDX-License-Identifier: Apache-2.0
"""Drop the second block device mapping of a volume, whose attachment Cinder does not have.

## What it does
Marks the mapping deleted as Nova does. The mapping that names an attachment of Cinder remains, so that the server keeps
its disk.

## Guards
No operation is in progress on the server. Exactly one of its mappings of the volume names a live attachment of Cinder;
both it and the attachment must be unchanged when the others are marked. A mapping with boot index 0 is dropped only if
the one that remains has it, too.

## Undo
The row is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step
from stackmend.repairs.common import idle, marked_deleted, quiet, the_server


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell's database; none if there is one mapping."""
    database, server = the_server(target, live)
    where: Record = {"instance_uuid": server["uuid"], "volume_id": str(target["volume"]), "deleted": 0}
    mappings = live.rows(database, "block_device_mapping", where)
    if len(mappings) < 2:
        return
    held: Record = {"instance_uuid": server["uuid"], "volume_id": str(target["volume"]), "deleted": 0}
    attachments = {row["id"]: row for row in live.rows("cinder", "volume_attachment", held)}
    good = [row for row in mappings if row["attachment_id"] in attachments]
    if len(good) != 1:
        raise CannotRepair(
            f"{len(good)} of {len(mappings)} mappings of volume {target['volume']} name an attachment of Cinder"
        )
    kept = good[0]
    if kept["boot_index"] != 0 and any(row["boot_index"] == 0 for row in mappings):
        raise CannotRepair(f"mapping {kept['id']}, which would remain, is not that of the boot disk")
    quiet(live, database, server["uuid"])
    yield from idle(live, database, server)
    attachment = attachments[kept["attachment_id"]]
    expect = {name: attachment[name] for name in ("deleted", "attach_status", "instance_uuid", "volume_id")}
    yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": attachment["id"]}, expect=expect)
    expect = {name: kept[name] for name in ("deleted", "attachment_id", "boot_index")}
    yield ExpectRow(database=database, table="block_device_mapping", pk={"id": kept["id"]}, expect=expect)
    guards = ("instance_uuid", "volume_id", "attachment_id", "boot_index")
    for row in mappings:
        if row["id"] != kept["id"]:
            yield marked_deleted(live, database, "block_device_mapping", row, guards=guards)


REPAIR = Repair(
    name="drop-duplicate-bdm",
    risk=Risk.SAFE,
    removes={"block_device_mapping": "only marked deleted: another mapping of the same volume names its attachment"},
    resource="server",
    checks=("bdm-anomaly",),
    codes=frozenset({"twice"}),
    strategies={"db": db},
    no_api="Nova's API shows and removes volumes of a server, not single mappings of one volume",
)
