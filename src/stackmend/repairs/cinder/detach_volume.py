# SPDX-License-Identifier: Apache-2.0
"""Detach a volume from a server.

## What it does
By the API: where Nova and Cinder both have it, Nova detaches it; an attachment that Nova knows nothing of is deleted in
Cinder; a status that is all that was left behind is reset. A mapping of Nova's without attachment no API removes.

In the databases, Nova's block device mapping of the pair is marked deleted first, so that no reboot plugs the volume
in again. Then Cinder's attachment and its specs are marked deleted with the time of the detach, the admin metadata
`attached_mode` goes, and the volume's status follows from the attachments that are left, by Cinder's own rule. Other
servers of a multi-attach volume keep theirs. A volume in an error status keeps that status.

As a request it takes `volume` and, where several servers have it, `server`.

## Guards
The root disk of a live server is refused, and so are a server something is happening to, a pair with two attachments
(live migration), an attachment to a host, and a volume that Cinder is working on. "Gone" is asked of every cell again
in the moment of writing. Each remaining attachment must still be there.

## Undo
All rows are put back as they were. What the API has detached is attached again only by its owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stackmend.model.finding import Row
from stackmend.model.ports import Api, Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectRow, Manual, Risk, Step, Values
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, call, guarded, shown
from stackmend.repairs.cinder._rows import (
    drop_mapping,
    live_server,
    live_volume,
    soft_delete,
    soft_delete_all,
    statuses,
)
from stackmend.repairs.common import Record, change, idle, no_such_server

#: statuses in which nobody in Cinder is working on the volume
_AT_REST = frozenset({"in-use", "detaching", "attaching", "reserved", "available"})
_GONE = frozenset({"deleted-server", "unknown-server"})


def api(target: Row, live: Live) -> Iterator[Step]:
    """Calls of Nova or Cinder; nothing where the volume is not attached there any more."""
    if not list(db(target, live)):
        return
    volume, services = live_volume(live, target["volume"]), api_of(live)
    name = str(volume["id"])
    attachments = live.rows("cinder", "volume_attachment", {"volume_id": name, "deleted": 0})
    servers = _servers(target, attachments, live)
    for server in servers:
        pair = [a for a in attachments if a["instance_uuid"] == server]
        found = live_server(live, server)
        where: Values = {"volume_id": name, "instance_uuid": server, "deleted": 0}
        if found is not None and live.rows(found[0], "block_device_mapping", where):
            if not pair:
                raise CannotRepair(
                    f"Cinder has no attachment of volume {name}, so it refuses to let Nova detach it from {server}"
                )
            yield from _detached_by_nova(services, name, server)
        else:
            for attachment in pair:
                yield _attachment_deleted(services, str(attachment["id"]), server, alive=found is not None)
    if not any(a["instance_uuid"] in servers for a in attachments) and volume["status"] == "detaching":
        yield _status_reset(services, name, attachments)


def _detached_by_nova(services: Api, volume: str, server: str) -> Iterator[Step]:
    made = call("compute", "detach-volume", server=server, volume=volume)
    found = services.look(made)
    calls.idle(found, server)
    if found["mapping"] is None:
        raise CannotRepair(f"Nova's API shows no volume {volume} on server {server}")
    if found["volume.status"] == "detaching":
        # Nova asks Cinder to begin, and Cinder begins only what is in use
        roll = call("block-storage", "roll-detaching", volume=volume)
        back = replace(call("block-storage", "begin-detaching", volume=volume), expect={"status": "in-use"})
        yield replace(guarded(roll, services.look(roll), ("status", "migration", "attachments")), inverse=back)
    yield guarded(made, found, (*SERVER, "mapping"), **{"volume.status": "in-use"})


def _attachment_deleted(services: Api, attachment: str, server: str, *, alive: bool) -> Step:
    made = call("block-storage", "delete-attachment", attachment=attachment)
    if why := services.lacks("block-storage", "delete-attachment"):
        raise CannotRepair(why)
    found = services.look(made)
    shown(found, "attachment")
    if alive:
        calls.idle(found, server)
    else:
        calls.nobody(found, server)
    return guarded(made, found, ("volume", "instance", "status", *SERVER))


def _status_reset(services: Api, volume: str, rest: list[Record]) -> Step:
    """Only the status was left behind: what is attached says what it should be."""
    status, attach_status = statuses(rest)
    wanted = {"status": status} | ({"attach_status": attach_status} if not rest else {})
    made = call("block-storage", "reset-status", volume=volume, **wanted)
    return guarded(made, services.look(made), ("status", "migration", "attachments"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell's and Cinder's databases; nothing where the volume is not attached there any more."""
    volume = live_volume(live, target["volume"])
    if volume["status"] not in _AT_REST and not str(volume["status"]).startswith("error"):
        raise CannotRepair(f"volume {volume['id']} is {volume['status']}: wait for Cinder to end that")
    attachments = live.rows("cinder", "volume_attachment", {"volume_id": volume["id"], "deleted": 0})
    now = live.now()
    mine: list[Record] = []
    steps: list[Step] = []
    for server in _servers(target, attachments, live):
        pair = [a for a in attachments if a["instance_uuid"] == server]
        steps += _let_go(str(volume["id"]), server, pair, live, now)
        mine += pair
    rest = [a for a in attachments if a not in mine]
    steps += _give_back(volume, mine, rest, live, now)
    if steps:
        yield Manual(
            text=f"on the host ({_hosts(mine)}): see that no guest has volume {volume['id']} (serial in virsh dumpxml),"
            " and close its session; the export on the back end stays until Cinder terminates the connection"
        )
        yield from steps


def _servers(target: Row, attachments: list[Record], live: Live) -> list[str]:
    """The servers to detach from: those gone, the one named, or the only one there is."""
    attached = sorted({str(a["instance_uuid"]) for a in attachments if a["instance_uuid"]})
    if target.get("code") in _GONE:
        return [server for server in attached if live_server(live, server) is None]
    if target.get("server"):
        return [str(target["server"])]
    if len(attached) > 1:
        raise CannotRepair(f"the volume is attached to {len(attached)} servers ({', '.join(attached)}): name one")
    if not attached and attachments:
        raise CannotRepair("the volume is attached to a host, not to a server")
    return attached


def _let_go(volume: str, server: str, pair: list[Record], live: Live, now: str) -> Iterator[Step]:
    """Guards on the server, then Nova's side of the pair."""
    found = live_server(live, server)
    if found is None:
        yield from no_such_server(live, server)
        databases = [cell_database(cell) for cell in live.cells()]
    else:
        database, row = found
        databases = [database]
        if len(pair) > 1:
            raise CannotRepair(f"server {server} has {len(pair)} attachments of the volume: a live migration's?")
        _refuse_root(volume, database, row, pair, live)
        yield from idle(live, database, row)
    for database in databases:
        where: Values = {"volume_id": volume, "instance_uuid": server, "deleted": 0}
        for mapping in live.rows(database, "block_device_mapping", where):
            yield drop_mapping(live, database, mapping, now)


def _refuse_root(volume: str, database: str, server: Record, pair: list[Record], live: Live) -> None:
    known = live.rows(database, "block_device_mapping", {"volume_id": volume, "instance_uuid": server["uuid"]})
    root = any(b["boot_index"] == 0 for b in known) or (
        not server["image_ref"] and any(a["mountpoint"] == server["root_device_name"] for a in pair)
    )
    if root:
        raise CannotRepair(f"volume {volume} is the root disk of the live server {server['uuid']}: shelve it instead")


def _give_back(volume: Record, mine: list[Record], rest: list[Record], live: Live, now: str) -> Iterator[Step]:
    """Cinder's side: the attachments with their specs, then what the volume says of itself."""
    for row in rest:
        expect = {column: row[column] for column in ("deleted", "attach_status")}
        yield ExpectRow(database="cinder", table="volume_attachment", pk={"id": row["id"]}, expect=expect)
    for row in mine:
        yield soft_delete(live, "volume_attachment", row, now, attach_status="detached", detach_time=now)
        yield from soft_delete_all(live, "attachment_specs", {"attachment_id": row["id"]}, now)
    status, attach_status = statuses(rest)
    after: dict[str, str] = {}
    if volume["attach_status"] != attach_status:
        after["attach_status"] = attach_status
    if volume["status"] != status and not str(volume["status"]).startswith("error"):
        after["status"] = status
    if mine or after:
        where = {"volume_id": volume["id"], "key": "attached_mode"}
        yield from soft_delete_all(live, "volume_admin_metadata", where, now)
    guards = ("status", "attach_status", "migration_status", "deleted", "updated_at")
    if after:
        yield change(live, "cinder", "volumes", volume, after, guards)
    elif mine:
        expect = {column: volume[column] for column in guards}
        yield ExpectRow(database="cinder", table="volumes", pk={"id": volume["id"]}, expect=expect)


def _hosts(attachments: list[Record]) -> str:
    return ", ".join(sorted({str(a["attached_host"]) for a in attachments if a["attached_host"]})) or "unknown"


REPAIR = Repair(
    name="detach-volume",
    risk=Risk.UNSAFE,
    resource="volume",
    checks=("volume-stuck-detaching", "volume-in-use-server-gone"),
    codes=frozenset({"mapping-gone", "attachment-gone", "both-gone", *_GONE}),
    strategies={"api": api, "db": db},
    why="a guest that still has the disk goes on writing to a volume that Cinder may then give to another server;"
    " no database knows what the guest has",
)
