# SPDX-License-Identifier: Apache-2.0
"""Undelete a server that SQL marked deleted while its guest is alive.

## What it does
Makes the server's row live again, with its former state or the one its power state shows, and its child rows that were
marked at the same moment; its mapping is no longer queued for deletion. Its ports and volumes were never released,
otherwise this is not offered. If its allocation is missing, the plan shows how to restore it with Nova.

It is offered beside `finish-deletion`, and the operator chooses: `plan create --repair revive-server`. Be quick:
nova-compute destroys the guest of a server that is marked deleted, with its disks, within half an hour
(`running_deleted_instance_poll_interval`), and removes its directory within minutes (rule RW9).

## Guards
No Nova action deleted the server; its files are not removed from the host (`cleaned`); a port is bound to its host or a
volume attached to it; no migration of it is in progress. No cell has a live row of it, and its row is not the hidden
half of a cross-cell resize; every row is unchanged since the plan. Only the host shows whether the guest still runs:
the plan says how to check.

## Undo
The deletion marks are restored: nova-compute may then destroy the guest.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from stackmend.cloud.evidence import attachments
from stackmend.cloud.states import BY_POWER
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import AlreadySo, CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, Manual, Record, Risk, Step, Value
from stackmend.repairs.common import at_rest, change, moment
from stackmend.tables.nova import SOFT_CHILDREN

#: actions with which Nova itself deletes a server
_DELETIONS = frozenset({"delete", "forceDelete", "softDelete"})
#: seconds between the statements that marked server and children
_SAME = timedelta(seconds=60)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell and the API database; none if no record shows the server alive."""
    database, row = _marked(target, live)
    if row is None or row["host"] is None or row["cleaned"] or not _lives(live, database, row):
        if "code" not in target:
            raise CannotRepair(
                f"no record shows server {target['server']} alive: Nova deleted it, its files are removed from its"
                " host, or neither a port nor a volume is held for it"
            )
        return
    at_rest(live, database, row["uuid"])
    server = str(row["uuid"])
    yield Manual(
        text=f"First check on its host: 'virsh domstate {server}' on {row['host']}. Without the guest there is nothing"
        " to revive. If it runs, be quick or stop nova-compute there: it destroys guests of servers marked deleted."
    )
    for cell in live.cells():
        where: dict[str, Value] = {"uuid": server, "deleted": 0}
        yield ExpectNone(database=cell_database(cell), table="instances", where=where)
    # the row may contain no other state than 'deleted'
    state = row["vm_state"] if row["vm_state"] not in (None, "deleted") else BY_POWER.get(row["power_state"])
    if state is None:
        raise CannotRepair(f"no row shows the former state of server {server}: its power state is {row['power_state']}")
    after = {"deleted": 0, "deleted_at": None, "terminated_at": None, "vm_state": state, "task_state": None}
    changed = {name: value for name, value in after.items() if row[name] != value}
    yield change(live, database, "instances", row, changed, ("uuid", "host", "cleaned"))
    yield from _children(live, database, row)
    for mapped in live.rows("nova_api", "instance_mappings", {"instance_uuid": server}):
        if mapped["queued_for_delete"]:
            yield change(live, "nova_api", "instance_mappings", mapped, {"queued_for_delete": 0})
    if not live.rows("placement", "allocations", {"consumer_id": server}):
        yield Manual(text=f"Its allocation is missing: nova-manage placement heal_allocations --instance {server}")


def _marked(target: Row, live: Live) -> tuple[str, Record | None]:
    """(database, row) of the server that is marked deleted; CannotRepair if there is none.

    No row if its live half is in another cell: there is nothing to revive.
    """
    if attachments.server(live, str(target["server"])).alive:
        if "code" in target:
            return "", None
        raise AlreadySo(f"server {target['server']} is live: it is not marked deleted")
    for cell in (str(target["cell"]),) if target.get("cell") else live.cells():
        row = live.row(cell_database(cell), "instances", {"uuid": str(target["server"])})
        if row is not None and not row.get("hidden"):
            return cell_database(cell), row
    raise CannotRepair(f"no cell has a row of server {target['server']}: only a backup can restore it")


def _lives(live: Live, database: str, row: Record) -> bool:
    """Whether the server still has a port or volume that a deletion by Nova would have released."""
    actions = live.rows(database, "instance_actions", {"instance_uuid": row["uuid"]})
    if any(action["action"] in _DELETIONS for action in actions):
        return False
    ports = [port["id"] for port in live.rows("neutron", "ports", {"device_id": row["uuid"]})]
    where = {"port_id": ports, "host": row["host"], "status": "ACTIVE"}
    attached = {"instance_uuid": row["uuid"], "deleted": 0, "attach_status": "attached"}
    bound = bool(ports) and bool(live.rows("neutron", "ml2_port_bindings", where))
    return bound or bool(live.rows("cinder", "volume_attachment", attached))


def _children(live: Live, database: str, row: Record) -> Iterator[Step]:
    """Child rows marked together with the server, each once: rows deleted earlier stay deleted."""
    when = moment(row["deleted_at"])
    for table in SOFT_CHILDREN:
        if not live.columns(database, table):
            continue
        for child in live.rows(database, table, {"instance_uuid": row["uuid"]}):
            if child["deleted"] and row["deleted_at"] and abs(moment(child["deleted_at"]) - when) <= _SAME:
                yield change(live, database, table, child, {"deleted": 0, "deleted_at": None})


REPAIR = Repair(
    name="revive-server",
    risk=Risk.UNSAFE,
    checks=("server-deleted-incompletely",),
    strategies={"db": db},
    no_api="no API shows a server that is marked deleted, unless it can still be restored",
    why="if its guest no longer exists, the server is listed and billed again and holds its ports and volumes",
)
