# SPDX-License-Identifier: Apache-2.0
"""Drop the block device mapping of a volume that Cinder has not attached.

## What it does
By the API there is one way: a hard reboot, in which Nova looks for each of the server's volumes in Cinder and drops the
mappings of those that are not attached. Because the guest is reset it is offered only when the API alone is asked for
(`--via api`), from Nova 30 on, for a server that is active.

In the database it marks the mapping deleted as Nova does (`deleted` becomes its id), which is what Nova 28 and later
does by itself at the next reboot of the server.

## Guards
Refused for the root disk of a live server, while something is happening to the server, and where Cinder has the volume
attached to this very server by another attachment: then the mapping names the wrong one and is not stale. In the
moment of writing Cinder must still have no attachment of the pair. No other mapping of the server may be stale, for a
reboot would drop that one, too.

## Undo
The mapping is made live again. What a reboot has dropped stays so.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Manual, Risk, Step, Value
from stackmend.repairs import calls
from stackmend.repairs.calls import SERVER, api_of, call, guarded
from stackmend.repairs.cinder._rows import drop_mapping, live_server
from stackmend.repairs.common import Record, idle, the_server
from stackmend.repairs.network_info import compute_version

#: ``services.version`` of the first nova-compute that surely drops them; that of 2023.2, which does, is not its own
_DALMATIAN = 67


def api(target: Row, live: Live) -> Iterator[Step]:
    """A call of Nova; nothing where the mapping is gone or Cinder has the volume attached again."""
    if not list(db(target, live)):
        return
    services = api_of(live)
    database, server = the_server(target, live)
    if not services.insisted:
        raise CannotRepair("only a hard reboot of the server drops the mapping (ask for it by --via api)")
    if server["vm_state"] != "active":
        raise CannotRepair(f"only a hard reboot drops the mapping, and the server is {server['vm_state']}")
    if compute_version(live, database, server) < _DALMATIAN:
        raise CannotRepair("only a hard reboot drops the mapping, and only by Nova 28 (for sure: 30) and later")
    _only_stale_one(target, live, database, server)
    made = call("compute", "hard-reboot", server=str(server["uuid"]), volume=str(target["volume"]))
    found = services.look(made)
    calls.idle(found, server["uuid"])
    if found["host"] != "up":
        raise CannotRepair(f"nova-compute of {server['host']} is {found['host']}: nobody would do it")
    if found["mapping"] is None:
        raise CannotRepair("Nova's API does not show the mapping")
    yield guarded(made, found, (*SERVER, "host", "mapping", "volume.status"))


def _only_stale_one(target: Row, live: Live, database: str, server: Record) -> None:
    """CannotRepair where the reboot would take more than this volume."""
    where = {"instance_uuid": server["uuid"], "destination_type": "volume", "deleted": 0}
    for mapping in live.rows(database, "block_device_mapping", where):
        if mapping["id"] == target["bdm"]:
            continue
        alive = live.row("cinder", "volume_attachment", {"id": mapping["attachment_id"]})
        if alive is None or alive["deleted"]:
            raise CannotRepair(f"a hard reboot would drop the mapping of volume {mapping['volume_id']}, too")


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
    strategies={"api": api, "db": db},
    why="a guest that still has the disk loses it at its next hard reboot (by the API: now), and until then writes to a"
    " volume that Cinder takes for free",
)
