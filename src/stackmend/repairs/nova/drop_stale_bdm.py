# SPDX-License-Identifier: Apache-2.0
"""Drop the block device mapping of a volume that Cinder has not attached.

## What it does
The API offers one way: a hard reboot, in which Nova looks up each of the server's volumes in Cinder and drops the
mappings of those that are not attached. Because this resets the guest, it is offered only if the API alone is requested
(`--via api`), from Nova 30 on, for an active server.

In the database, the mapping is marked deleted as Nova does it (`deleted` becomes its id). Nova 28 and later does the
same at the next reboot of the server.

Either way the volume follows: if nothing has it attached any more and no other server maps it, it becomes available.

## Guards
Refused for the root disk of a live server, while an operation is in progress on the server, and if Cinder has the
volume attached to this same server by another attachment: then the mapping names the wrong attachment and is not stale.
Also refused if Cinder has the attachment named by the mapping, but as another server's. At the time of writing Cinder
must still have no attachment of the pair. No other mapping of the server may be stale, because a reboot would drop that
one too.

## Undo
The mapping is made live again. A mapping dropped by a reboot is not restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.evidence.attachments import AT_REST, UNMOVED, ServerRows, VolumeReading
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import ResetStatus
from stackmend.model.operations.compute import HardReboot
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Manual, Record, Risk, Step, Value
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded
from stackmend.repairs.common import idle, the_server
from stackmend.repairs.network_info import compute_version
from stackmend.repairs.sighted import disk_used
from stackmend.repairs.volume_rows import drop_mapping, status_set

#: ``services.version`` of the first nova-compute that certainly drops them: 2023.2 does too, but 2023.1 has its version
_DALMATIAN = 67


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Nova; none if the mapping is gone or Cinder has the volume attached again."""
    if not list(db(target, live)):
        return
    services = api_of(live)
    database, server = the_server(target, live)
    if not services.insisted:
        raise CannotRepair("only a hard reboot of the server drops the mapping (request it with --via api)")
    if server["vm_state"] != "active":
        raise CannotRepair(f"only a hard reboot drops the mapping, and the server is {server['vm_state']}")
    if compute_version(live, database, server) < _DALMATIAN:
        raise CannotRepair("only a hard reboot drops the mapping, and only in Nova 28 (certainly 30) and later")
    _only_stale_one(target, live, database, server)
    made = HardReboot(server=str(server["uuid"]), volume=str(target["volume"]))
    found = services.look(made)
    calls.idle(found, server["uuid"])
    if found["host"] != "up":
        raise CannotRepair(f"nova-compute on {server['host']} is {found['host']}: it cannot execute the reboot")
    if found["mapping"] is None:
        raise CannotRepair("Nova's API does not show the mapping")
    yield guarded(made, found, (*SERVER, "host", "mapping", "volume.status"))
    seen = attachments.read(live, target["volume"])
    if _left_behind(seen, str(server["uuid"])) and not seen.attachments:
        reset = ResetStatus(volume=seen.volume, status="available", attach_status="detached")
        before = services.look(reset)
        if before["status"] != "available":
            yield guarded(reset, before, ("status", "migration", "attachments"))


def _only_stale_one(target: Row, live: Live, database: str, server: Record) -> None:
    """CannotRepair if the reboot would drop more than this volume."""
    where = {"instance_uuid": server["uuid"], "destination_type": "volume", "deleted": 0}
    for mapping in live.rows(database, "block_device_mapping", where):
        if mapping["id"] == target["bdm"]:
            continue
        alive = live.row("cinder", "volume_attachment", {"id": mapping["attachment_id"]})
        if alive is None or alive["deleted"]:
            raise CannotRepair(f"a hard reboot would also drop the mapping of volume {mapping['volume_id']}")


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell's and Cinder's databases; none if the mapping is gone or the volume attached again."""
    seen, name = attachments.read(live, target["volume"]), str(target["server"])
    server = attachments.server(live, name)
    server.settled()
    if server.row is None:
        raise CannotRepair(f"server {name} is deleted: finishing its deletion removes its mappings")
    pair = seen.pair(name)
    mapping = next((m for _, m in pair.mappings if m["id"] == target["bdm"]), None) if pair else None
    if pair is None or mapping is None or any(a["id"] == mapping["attachment_id"] for a in pair.attachments):
        return
    if pair.attachments:
        raise CannotRepair(
            f"Cinder has volume {seen.volume} attached to this server as {pair.attachments[0]['id']}, but Nova has it"
            f" as {mapping['attachment_id']}: stop the server and run nova-manage volume_attachment refresh"
        )
    theirs = next((a for a in seen.attachments if a["id"] == mapping["attachment_id"]), None)
    if theirs is not None:
        raise CannotRepair(
            f"Cinder has the attachment that Nova's mapping names ({theirs['id']}), but for"
            f" {theirs['instance_uuid'] or theirs['attached_host']}: no row shows which of the two is wrong. Check"
            f" which guest has a disk with serial {seen.volume} (virsh dumpxml)"
        )
    if pair.root:
        raise CannotRepair(f"volume {seen.volume} is the root disk of server {name}: {_instead(seen, server)}")
    yield Manual(
        text=f"on host {server.row['host']}: check that the guest has no disk with serial {seen.volume} (virsh"
        f" dumpxml); if it has, {_instead(seen, server)}"
    )
    yield from idle(live, server.database, server.row)
    where: dict[str, Value] = {"volume_id": seen.volume, "instance_uuid": name, "deleted": 0}
    yield ExpectNone(database="cinder", table="volume_attachment", where=where)
    yield drop_mapping(live, server.database, mapping, live.now())
    if _left_behind(seen, name):
        yield from status_set(live, seen.live(), seen.attachments, let_go=False)


def _left_behind(seen: VolumeReading, server: str) -> bool:
    """Whether the volume would keep an in-use status although no server has it once this one is detached."""
    volume = seen.row
    if volume is None or volume["deleted"] or volume["migration_status"] not in UNMOVED:
        return False
    if volume["status"] not in AT_REST or attachments.implied(seen.attachments)[0] != "available":
        return False
    return not any(pair.server.uuid != server for pair in seen.holders)


def _instead(seen: VolumeReading, server: ServerRows) -> str:
    """Instructions if the guest needs the disk."""
    if seen.row is None or seen.row["deleted"]:
        known = f"'stackmend volume revive {seen.volume}', or " if seen.row is not None else ""
        return f"it cannot be attached again, as Cinder has no such volume: {known}save the guest's data while it runs"
    others = sorted({str(a["instance_uuid"] or a["attached_host"]) for a in seen.attachments})
    if others:
        return f"stop one of the two at once: {', '.join(others)} has the volume too, and both may be writing to it"
    stop = "" if server.row is not None and server.row["vm_state"] == "stopped" else "stop the server and "
    return f"{stop}create a new attachment instead (nova-manage volume_attachment refresh)"


REPAIR = Repair(
    name="drop-stale-bdm",
    risk=Risk.UNSAFE,
    checks=("nova-bdm-cinder-detached",),
    unless=disk_used,
    strategies={"api": api, "db": db},
    why="a guest that still has the disk loses it at its next hard reboot (through the API: now), and until then writes"
    " to a volume that another server may have or get",
)
