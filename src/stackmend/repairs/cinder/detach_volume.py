# SPDX-License-Identifier: Apache-2.0
"""Detach a volume from a server.

## What it does
Through the API: if Nova and Cinder both have the attachment, Nova detaches the volume. An attachment unknown to Nova is
deleted in Cinder. If only the status is stale, it is reset. Nova detaches only volumes that are in use, so a status
that contradicts an existing attachment is corrected first. No API removes a block device mapping without an attachment.

In the databases: Nova's block device mapping of the pair is marked deleted first, so that no reboot plugs the volume in
again. Then Cinder's attachment and its specs are marked deleted with the time of the detach, the admin metadata
`attached_mode` is removed, and the volume's status is set from the remaining attachments by Cinder's own rule. Other
servers of a multi-attach volume keep their attachments. A volume in an error status keeps that status.

As a request it takes `volume` and, if several servers have the volume, `server`.

## Guards
Every cell is asked for mappings of the volume. A server that maps it without an attachment in Cinder must be named; if
another server maps it that way too, nothing is done, because the volume would look free. Also refused: the root disk of
a live server, a server with an operation in progress or requested a moment ago, a pair with two attachments (live
migration), a server that has no record of the volume, an attachment to a host, and a volume that Cinder is working on
or whose attachment it wrote within the last two minutes. That a server is deleted is checked in every cell again at the
time of writing. Each remaining attachment must still exist.

## Undo
All rows are restored. A volume detached through the API can be attached again only by its owner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import UNSET

from stackmend.cloud.evidence import attachments
from stackmend.cloud.evidence.attachments import AT_REST, ServerVolume, VolumeReading
from stackmend.cloud.states import SETTLED
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import BeginDetaching, DeleteAttachment, ResetStatus, RollDetaching
from stackmend.model.operations.compute import DetachVolume
from stackmend.model.protocols import Api, Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.sight import Sighted
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ApiCall, ExpectNone, Manual, Record, Risk, Step, Values, writes
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, guarded, shown
from stackmend.repairs.common import idle, no_such_server, quiet, settled
from stackmend.repairs.sighted import users_left
from stackmend.repairs.volume_rows import drop_mapping, soft_delete, soft_delete_all, status_set

_GONE = frozenset({"deleted-server", "unknown-server"})


def api(target: Row, live: Live) -> Iterator[Step]:
    """API calls to Nova or Cinder; none if the volume is no longer attached there."""
    if not list(db(target, live)):
        return
    seen, services = attachments.read(live, target["volume"]), api_of(live)
    volume, name = seen.live(), seen.volume
    mine = _chosen(target, seen)
    for pair in mine:
        if pair.server.alive and pair.mappings:
            if not pair.attachments:
                raise CannotRepair(
                    f"Cinder has no attachment of volume {name}, so it does not let Nova detach it from {pair.server}"
                )
            yield from _detached_by_nova(services, seen, pair)
        else:
            for attachment in pair.attachments:
                yield _attachment_deleted(services, str(attachment["id"]), pair)
    if not any(pair.attachments for pair in mine):
        yield from _status_reset(services, volume, seen.others(mine))


def _detached_by_nova(services: Api, seen: VolumeReading, pair: ServerVolume) -> Iterator[Step]:
    name, server = seen.volume, pair.server.uuid
    made = DetachVolume(server=server, volume=name)
    found = services.look(made)
    calls.idle(found, server)
    if found["mapping"] is None:
        raise CannotRepair(f"Nova's API shows no volume {name} on server {server}")
    # Nova asks Cinder first, which refuses unless the volume is in use and attached (volume/api.py, begin_detaching)
    status = found["volume.status"]
    if status == "detaching":
        roll = RollDetaching(volume=name)
        back = BeginDetaching(volume=name).call({"status": "in-use"})
        yield guarded(roll, services.look(roll), ("status", "migration", "attachments"), back)
    elif attachments.implied(pair.attachments)[1] != "attached":
        raise CannotRepair(f"Cinder detaches only attached volumes; {name} is not attached to {pair.server}")
    elif status == "available":
        reset = ResetStatus(volume=name, status="in-use", attach_status="attached")
        yield guarded(reset, services.look(reset), ("status", "migration", "attachments"))
    elif status != "in-use":
        raise CannotRepair(f"volume {name} is {status}: Cinder detaches only volumes that are in use")
    yield made.call({**calls.chosen(found, (*SERVER, "mapping")), "volume.status": "in-use"})


def _attachment_deleted(services: Api, attachment: str, pair: ServerVolume) -> Step:
    made = DeleteAttachment(attachment=attachment)
    if why := services.lacks(DeleteAttachment):
        raise CannotRepair(why)
    found = services.look(made)
    shown(found, "attachment")
    if pair.server.alive:
        calls.idle(found, pair.server.uuid)
    else:
        calls.server_absent(found, pair.server.uuid)
    return guarded(made, found, ("volume", "instance", "status", *SERVER))


def _status_reset(services: Api, volume: Record, rest: Sequence[Record]) -> Iterator[Step]:
    """Only the status is stale: the attachments show the right one."""
    status, attach_status = attachments.implied(rest)
    if volume["status"] == status:
        raise CannotRepair("attach_status is wrong, and no API shows it")
    made = ResetStatus(volume=str(volume["id"]), status=status, attach_status=UNSET if rest else attach_status)
    yield guarded(made, services.look(made), ("status", "migration", "attachments"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cells' and Cinder's databases; none if the volume is no longer attached there."""
    seen = attachments.read(live, target["volume"])
    volume = seen.live()
    if volume["status"] not in AT_REST and not str(volume["status"]).startswith("error"):
        raise CannotRepair(f"volume {volume['id']} is {volume['status']}: wait for Cinder to finish")
    now, mine = live.now(), _chosen(target, seen)
    seen.meant_by_others(mine)
    # Cinder writes volume and attachment one after the other; while it works the status is a transient one
    settled(
        live, [] if volume["status"] in SETTLED else [volume], f"volume {volume['id']}, which is {volume['status']},"
    )
    settled(live, (a for pair in mine for a in pair.attachments), f"the attachment of volume {volume['id']}")
    steps: list[Step] = []
    for pair in mine:
        steps += _let_go(pair, live, now)
    rest = seen.others(mine)
    free = attachments.implied(rest)[0] == "available"
    if free:
        seen.still_mapped(mine)
    for row in (a for pair in mine for a in pair.attachments):
        steps.append(soft_delete(live, "volume_attachment", row, now, attach_status="detached", detach_time=now))
        steps += soft_delete_all(live, "attachment_specs", {"attachment_id": row["id"]}, now)
    steps += status_set(live, volume, rest, let_go=any(pair.attachments for pair in mine))
    if not any(writes(step) for step in steps):
        return
    yield from _no_new_mapping(seen, mine, live, free=free)
    yield Manual(
        text=f"on the host ({_hosts(mine)}): check that no guest has volume {volume['id']} (serial in virsh dumpxml),"
        " and close its session; the export on the back end stays until Cinder terminates the connection"
    )
    yield from steps


def _chosen(target: Row, seen: VolumeReading) -> list[ServerVolume]:
    """The pairs to detach: those of deleted servers, the named one, or the only one."""
    name = target.get("server")
    if target.get("code") in _GONE:
        return [pair for pair in seen.pairs if not pair.server.alive and not pair.server.building]
    if name:
        pair = seen.pair(str(name))
        if pair is None and seen.attachments:
            raise CannotRepair(f"volume {seen.volume} is not attached to server {name}: {_names(seen.pairs)}")
        return [] if pair is None else [pair]
    attached = [pair for pair in seen.pairs if pair.attachments]
    if len(attached) > 1:
        raise CannotRepair(f"the volume is attached to {len(attached)} servers ({_names(attached)}): name one")
    if not attached and seen.attachments:
        raise CannotRepair("the volume is attached to a host, not to a server")
    return attached or [pair for pair in seen.pairs if not pair.server.alive and not pair.server.building]


def _let_go(pair: ServerVolume, live: Live, now: str) -> Iterator[Step]:
    """Guards on the server, then Nova's side of the pair. Every detach uses this."""
    pair.server.settled()
    row = pair.server.row
    if row is None:
        yield from no_such_server(live, pair.server.uuid)
    else:
        if len(pair.attachments) > 1:
            raise CannotRepair(
                f"{pair.server} has {len(pair.attachments)} attachments of the volume: is a live migration in progress?"
            )
        if pair.root:
            raise CannotRepair(_root(pair))
        quiet(live, pair.server.database, pair.server.uuid)
        yield from idle(live, pair.server.database, row)
    for database, mapping in pair.mappings:
        yield drop_mapping(live, database, mapping, now)


def _root(pair: ServerVolume) -> str:
    if pair.attachments:
        return f"the volume is the root disk of the live {pair.server}: shelve it instead"
    return (
        f"the volume is the root disk of the live {pair.server}, and Cinder has no attachment of it: the server cannot"
        " be shelved or started. See 'stackmend audit --server SERVER' for its attachment, or delete the server"
    )


def _no_new_mapping(seen: VolumeReading, mine: Sequence[ServerVolume], live: Live, *, free: bool) -> Iterator[Step]:
    """Guards: no cell has a new mapping of a volume that becomes free, or of an attachment that is deleted."""
    mapped = [(database, mapping["attachment_id"]) for pair in seen.pairs for database, mapping in pair.mappings]
    for cell in live.cells():
        database = cell_database(cell)
        where: Values = {"volume_id": seen.volume, "deleted": 0}
        named = {attachment for other, attachment in mapped if other == database}
        if free and not any(other == database for other, _ in mapped):
            yield ExpectNone(database=database, table="block_device_mapping", where=where)
            continue
        for attachment in (str(a["id"]) for pair in mine for a in pair.attachments):
            if attachment not in named:
                only = {**where, "attachment_id": attachment}
                yield ExpectNone(database=database, table="block_device_mapping", where=only)


def _names(pairs: Sequence[ServerVolume]) -> str:
    return ", ".join(pair.server.uuid for pair in pairs) or "it is attached to a host"


def _hosts(pairs: Sequence[ServerVolume]) -> str:
    """Hosts whose guests may have the volume: from the attachments and from the servers that map it."""
    found = {str(a["attached_host"]) for pair in pairs for a in pair.attachments if a["attached_host"]}
    found |= {str(pair.server.row["host"]) for pair in pairs if pair.server.row and pair.server.row["host"]}
    return ", ".join(sorted(found)) or "unknown"


def unless(target: Row, live: Live, seen: Sighted, steps: Sequence[Step]) -> str:
    """A guest that runs has the volume and keeps no attachment, unless Nova takes the disk from it first."""
    by_nova = {s.operation.server for s in steps if isinstance(s, ApiCall) and isinstance(s.operation, DetachVolume)}
    reading = attachments.read(live, target["volume"])
    gone = {pair.server.uuid for pair in _chosen(target, reading)} - by_nova
    return users_left(live, seen, reading.volume, gone)


REPAIR = Repair(
    name="detach-volume",
    risk=Risk.UNSAFE,
    resource="volume",
    checks=(
        "volume-stuck-detaching",
        "volume-in-use-server-gone",
        "volume-status-attachment-mismatch",
        "volume-stuck-attaching",
        "volume-stuck-reserved",
    ),
    codes=frozenset(
        {"mapping-gone", "attachment-gone", "attachment-ending", "both-gone", "taken-but-unattached", *_GONE}
        | {"attaching-unmapped", "attaching-alone", "attaching-nothing", "reserved-unmapped"}
    ),
    unless=unless,
    strategies={"api": api, "db": db},
    why="a guest that still has the disk keeps writing to a volume that Cinder may give to another server;"
    " no database shows which disks the guest has",
)
