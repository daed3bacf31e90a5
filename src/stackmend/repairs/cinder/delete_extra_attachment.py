# SPDX-License-Identifier: Apache-2.0
"""Delete the attachments of a volume to a server that Nova does not name.

## What it does
Keeps the attachment that Nova's block device mapping names and deletes the other ones of the same server: through the
API Cinder also closes the export to the other host; in the database they are marked deleted with their specs, and the
status of the volume is left as it is, because an attachment remains.

## Guards
The server is live, on the host of the attachment that is kept, and no operation is in progress on it; a resize that
awaits its confirmation is refused. Nova has exactly one mapping of the volume for the server. The attachment that is
kept must be unchanged when the others are deleted.

## Undo
In the database all rows are restored. An attachment that Cinder has deleted cannot be restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.evidence.attachments import ServerVolume, VolumeReading
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import DeleteAttachment
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Manual, Record, Risk, Step
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded, shown
from stackmend.repairs.common import idle, quiet, settled
from stackmend.repairs.volume_rows import soft_delete, soft_delete_all


def api(target: Row, live: Live) -> Iterator[Step]:
    """API calls to Cinder; none if there is one attachment."""
    services = api_of(live, DeleteAttachment)
    _, pair, kept = _read(target, live)
    for extra in _extra(pair, kept):
        made = DeleteAttachment(attachment=str(extra["id"]))
        found = services.look(made)
        shown(found, "attachment")
        calls.idle(found, pair.server.uuid)
        yield guarded(made, found, ("volume", "instance", "status", *SERVER))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if there is one attachment."""
    seen, pair, kept = _read(target, live)
    extra = _extra(pair, kept)
    if not extra or pair.server.row is None:
        return
    settled(live, pair.attachments, f"an attachment of volume {seen.volume}")
    hosts = ", ".join(sorted({str(row["attached_host"]) for row in extra if row["attached_host"]})) or "no host"
    yield Manual(
        text=f"check that no guest on {hosts} has volume {seen.volume} (serial in virsh dumpxml), and close its"
        " session; the export on the back end stays until Cinder terminates the connection"
    )
    yield from idle(live, pair.server.database, pair.server.row)
    database, mapping = pair.mappings[0]
    expect: Record = {name: mapping[name] for name in ("deleted", "attachment_id", "volume_id", "instance_uuid")}
    yield ExpectRow(database=database, table="block_device_mapping", pk={"id": mapping["id"]}, expect=expect)
    expect = {name: kept[name] for name in ("deleted", "attach_status", "attached_host", "instance_uuid")}
    yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": kept["id"]}, expect=expect)
    now = live.now()
    for row in extra:
        yield soft_delete(live, "volume_attachment", row, now, attach_status="detached", detach_time=now)
        yield from soft_delete_all(live, "attachment_specs", {"attachment_id": row["id"]}, now)


def _extra(pair: ServerVolume, kept: Record) -> list[Record]:
    return [row for row in pair.attachments if row["id"] != kept["id"]]


def _read(target: Row, live: Live) -> tuple[VolumeReading, ServerVolume, Record]:
    """(what is recorded of the volume, the pair, the attachment to keep); CannotRepair unless that is certain."""
    seen = attachments.read(live, target["volume"])
    seen.live()
    pair = seen.pair(str(target["server"]))
    row = pair.server.row if pair else None
    if pair is None or row is None or len(pair.mappings) != 1:
        raise CannotRepair(f"Nova has not exactly one mapping of volume {seen.volume} for server {target['server']}")
    named = pair.mappings[0][1]["attachment_id"]
    kept = next((one for one in pair.attachments if one["id"] == named), None)
    if kept is None:
        raise CannotRepair(f"Nova names attachment {named} of volume {seen.volume}, which Cinder does not have")
    if row["vm_state"] == "resized":
        raise CannotRepair(f"{pair.server} awaits the confirmation of a resize")
    if _short(kept["attached_host"]) != _short(row["host"]):
        raise CannotRepair(f"attachment {named}, which Nova names, is on {kept['attached_host']}, not on {row['host']}")
    for _, mapping in (m for other in seen.pairs if other is not pair for m in other.mappings):
        if mapping["attachment_id"] in {one["id"] for one in pair.attachments}:
            raise CannotRepair(f"server {mapping['instance_uuid']} has a mapping that names one of the attachments")
    quiet(live, pair.server.database, pair.server.uuid)
    return seen, pair, kept


def _short(host: object) -> str:
    return str(host or "").partition(".")[0]


REPAIR = Repair(
    name="delete-extra-attachment",
    risk=Risk.UNSAFE,
    why="a guest on the other host that still has the disk, after a migration that ended halfway, loses its access",
    resource="volume",
    checks=("attachment-id-mismatch",),
    codes=frozenset({"extra"}),
    strategies={"api": api, "db": db},
)
