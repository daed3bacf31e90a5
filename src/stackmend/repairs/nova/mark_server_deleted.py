# SPDX-License-Identifier: Apache-2.0
"""Delete a server that cannot be deleted, or mark it completely deleted in the databases.

## What it does
Through the API: a deletion that hangs is reset (`os-resetState`), and the server is deleted by force. Nova does the
rest, including ports, volumes and allocation; if its host is down, Nova does so without the host.

In the databases, for a server whose guest and disks no longer exist and that the API cannot delete: every row change
that Nova makes for a deleted server, an entry in its instance actions, and the removal of its allocation in Placement.
Its ports and volumes are listed, to be released through the API; otherwise `stackmend audit` finds them.

`cleaned` records that its files are removed from the host. If they are not, nova-compute removes them within minutes
and destroys a guest that still runs (rule RW9): `cleaned = 0` requests that.

## Guards
No migration is in progress, no task except a deletion that has not moved for two minutes, and no operation was
requested a moment ago; no other cell has the server; the server is where it was, and each row is unchanged since the
plan.

In the databases it is refused while any record shows the guest alive: a port that is ACTIVE on a host, an attached
volume, Nova's power state. Releasing its ports and volumes afterwards would take them from a running guest. If you have
verified that its guest is not on that host, confirm it with `--overrule HOST`.

## Undo
All rows are restored; files removed by nova-compute in the meantime are not. A server deleted through the API stays
deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.states import DELETING, RUNNING
from stackmend.model.finding import Row
from stackmend.model.operations.compute import ForceDelete, ResetState
from stackmend.model.protocols import Live
from stackmend.model.repair import AlreadySo, CannotRepair, Repair
from stackmend.model.step import InsertRow, Manual, Record, Risk, Step
from stackmend.repairs.calls import SERVER, api_of, chosen, guarded
from stackmend.repairs.common import at_rest, quiet, settled, the_server
from stackmend.repairs.deletion import children, mapping, mark
from stackmend.repairs.placement.delete_allocations import removed_allocations
from stackmend.repairs.whereabouts import still


def api(target: Row, live: Live) -> Iterator[Step]:
    """API calls to Nova."""
    database, row = _living(target, live)
    _refuse_busy(live, database, row)
    server, services = str(row["uuid"]), api_of(live)
    made = ForceDelete(server=server)
    found = services.look(made)
    if found.get("server") != "present":
        raise CannotRepair(f"Nova's API does not show server {server}")
    if found["server.task_state"] is not None or found["server.vm_state"] == "deleted":
        yield guarded(ResetState(server=server, state="error"), found, SERVER)
        about = chosen(found, ("server", "server.host"))
        yield made.call({**about, "server.task_state": None, "server.vm_state": "error"})
    else:
        yield guarded(made, found, SERVER)


def _living(target: Row, live: Live) -> tuple[str, Record]:
    """As :func:`the_server`; AlreadySo for a deleted server."""
    seen = attachments.server(live, str(target["server"]))
    if seen.known and not seen.alive:
        raise AlreadySo(
            f"server {target['server']} is already deleted: 'stackmend audit --server {target['server']}' shows whether"
            " its deletion is complete"
        )
    return the_server(target, live)


def _refuse_busy(live: Live, database: str, row: Record) -> None:
    if row["task_state"] is not None and row["task_state"] not in DELETING:
        raise CannotRepair(f"server {row['uuid']} is busy: {row['task_state']}")
    if row["task_state"] is not None:
        settled(live, [row], f"server {row['uuid']}, which is {row['task_state']},")
    at_rest(live, database, row["uuid"])
    quiet(live, database, row["uuid"])


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell, the API database and Placement."""
    database, row = _living(target, live)
    server = str(row["uuid"])
    _refuse_busy(live, database, row)
    attachments.server(live, server)  # raises if another cell has it as well
    _lifeless(live, row, str(target.get("overrule") or ""))
    now = live.now()
    yield from still(database, row)
    yield from children(live, database, server, now)
    yield _noted(database, row, now)
    yield from mark(live, database, row, now, cleaned=bool(target.get("cleaned", False)))
    yield from mapping(live, server)
    yield from removed_allocations(live, server)
    yield from _left(live, row)


def _lifeless(live: Live, row: Record, overruled: str) -> None:
    """CannotRepair if a record shows the guest alive on a host, unless that host is overruled."""
    server, signs = row["uuid"], list(_signs(live, row))
    hosts = sorted({host for host, _ in signs})
    if not signs or [host.lower() for host in hosts] == [overruled.lower()]:
        return
    told = "; ".join(says for _, says in signs[:3])
    if len(hosts) > 1:
        raise CannotRepair(
            f"the guest of server {server} may be alive on {' or '.join(hosts)}: {told}. First find out where it is:"
            f" 'stackmend server where {server}'"
        )
    raise CannotRepair(
        f"the guest of server {server} may be alive on {hosts[0]}: {told}. 'openstack server delete {server}' ends"
        f" it and releases its resources. If you have verified that it is not there ('virsh list --all --uuid' on"
        f" {hosts[0]}), add --overrule {hosts[0]}"
    )


def _signs(live: Live, row: Record) -> Iterator[tuple[str, str]]:
    """(host, sentence that says why the guest may be there), from Neutron, Cinder and Nova."""
    if row["power_state"] == RUNNING and row["host"]:
        yield str(row["host"]), f"Nova shows it running on {row['host']}"
    ports = [p["id"] for p in live.rows("neutron", "ports", {"device_id": row["uuid"], "status": "ACTIVE"})]
    bound = live.rows("neutron", "ml2_port_bindings", {"port_id": ports, "status": "ACTIVE"}) if ports else []
    for binding in bound:
        # the ports of a baremetal server are bound to its node
        host = row["host"] if binding["host"] == row["node"] else binding["host"]
        if host:
            yield str(host), f"port {binding['port_id']} is ACTIVE on {host}"
    attached = {"instance_uuid": row["uuid"], "deleted": 0, "attach_status": "attached"}
    for attachment in live.rows("cinder", "volume_attachment", attached):
        if host := attachment["attached_host"] or row["host"]:
            yield str(host), f"volume {attachment['volume_id']} is attached to {host}"


def _noted(database: str, row: Record, now: str) -> InsertRow:
    request = f"req-{uuid.uuid5(uuid.NAMESPACE_URL, str(row['uuid']) + now)}"
    return InsertRow(
        database=database,
        table="instance_actions",
        key={"instance_uuid": row["uuid"], "request_id": request},
        values={
            "instance_uuid": row["uuid"],
            "request_id": request,
            "action": "stackmend-delete",
            "user_id": row["user_id"],
            "project_id": row["project_id"],
            "start_time": now,
            "finish_time": now,
            "created_at": now,
            "updated_at": None,
            "deleted_at": None,
            "message": None,
            "deleted": 0,
        },
    )


def _left(live: Live, row: Record) -> Iterator[Step]:
    for port in live.rows("neutron", "ports", {"device_id": row["uuid"]}):
        yield Manual(text=f"Release its port: openstack port unset --device {port['id']} (or delete it)")
    for attachment in live.rows("cinder", "volume_attachment", {"instance_uuid": row["uuid"], "deleted": 0}):
        text = "openstack --os-volume-api-version 3.27 volume attachment delete"
        yield Manual(text=f"Release volume {attachment['volume_id']}: {text} {attachment['id']}")


REPAIR = Repair(
    name="mark-server-deleted",
    risk=Risk.UNSAFE,
    strategies={"api": api, "db": db},
    why="its host destroys a guest that still runs, with its disks, unless cleaned says that its files are removed",
)
