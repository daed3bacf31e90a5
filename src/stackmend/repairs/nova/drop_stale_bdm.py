# SPDX-License-Identifier: Apache-2.0
"""Drop the block device mapping of a volume that Cinder has not attached.

## What it does
Marks the mapping deleted as Nova does (`deleted` becomes its id), which is what Nova 28 and later does by itself at
the next reboot of the server.

## Guards
Refused for the root disk of a live server, while something is happening to the server, and where Cinder has the
volume attached to this very server by another attachment: then the mapping names the wrong one and is not stale. In
the moment of writing Cinder must still have no attachment of the pair.

## Undo
The mapping is made live again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Manual, Risk, Step, Value
from stackmend.repairs.cinder._rows import drop_mapping, live_server
from stackmend.repairs.common import Record, idle


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell's database; nothing where the mapping is gone or Cinder has the volume attached again."""
    volume, server = str(target["volume"]), str(target["server"])
    found = live_server(live, server)
    if found is None:
        raise CannotRepair(f"server {server} is gone: its mappings go with its rows")
    database, row = found
    mapping: Record | None = live.row(database, "block_device_mapping", {"id": target["bdm"]})
    if mapping is None or mapping["deleted"] != 0 or mapping["instance_uuid"] != server:
        return
    pair: dict[str, Value] = {"volume_id": volume, "instance_uuid": server, "deleted": 0}
    attachments = live.rows("cinder", "volume_attachment", pair)
    if any(a["id"] == mapping["attachment_id"] for a in attachments):
        return
    if attachments:
        raise CannotRepair(
            f"Cinder has volume {volume} attached to this server as {attachments[0]['id']}, Nova knows it as"
            f" {mapping['attachment_id']}: stop the server and run nova-manage volume_attachment refresh"
        )
    if mapping["boot_index"] == 0:
        raise CannotRepair(
            f"volume {volume} is the root disk of server {server}: stop the server and run nova-manage"
            " volume_attachment refresh, or delete the server"
        )
    yield Manual(
        text=f"on host {row['host']}: see that the guest has no disk with serial {volume} (virsh dumpxml); if it has,"
        " make a new attachment instead (nova-manage volume_attachment refresh)"
    )
    yield from idle(live, database, row)
    yield ExpectNone(database="cinder", table="volume_attachment", where=pair)
    yield drop_mapping(live, database, mapping, live.now())


REPAIR = Repair(
    name="drop-stale-bdm",
    risk=Risk.UNSAFE,
    checks=("nova-bdm-cinder-detached",),
    strategies={"db": db},
    why="a guest that still has the disk loses it at its next hard reboot, and until then writes to a volume that"
    " Cinder takes for free",
)
