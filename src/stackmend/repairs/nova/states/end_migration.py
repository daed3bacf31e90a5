# SPDX-License-Identifier: Apache-2.0
"""End the record of a migration that nobody carries out any more.

## What it does
Sets `migrations.status`: to `error` if the server is on the source, as nova-compute does when it starts
(`_reset_live_migration`); to `completed` if it is a live migration and the server is on the destination. Nothing else
changes.

## Guards
The server is idle, neither resized nor being built, and on the same host as when the plan was made; nothing was
requested of it for two minutes. The migration is unchanged. Refused if the server is on neither of its hosts, or was
resized to the destination. Consent is required by name: only the hypervisors show where the guest is.

## Undo
The status is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.states import OVER, UNDECIDED
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step
from stackmend.repairs.common import change, quiet, the_server
from stackmend.repairs.sighted import elsewhere


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if the migration has ended."""
    database, server = the_server(target, live)
    row = live.row(database, "migrations", {"id": int(str(target["migration"]))})
    if row is None or row["deleted"] or row["status"] in OVER or row["instance_uuid"] != server["uuid"]:
        return
    if row["status"] != target["status"]:
        raise CannotRepair(f"migration {row['id']} is {row['status']} by now: audit again")
    if server["task_state"] is not None or server["vm_state"] in UNDECIDED:
        raise CannotRepair(f"server {server['uuid']} is busy: {server['vm_state']}, {server['task_state']}")
    quiet(live, database, server["uuid"])
    names = ("uuid", "deleted", "host", "node", "vm_state", "task_state")
    yield ExpectRow(
        database=database, table="instances", pk={"id": server["id"]}, expect={name: server[name] for name in names}
    )
    guards = ("instance_uuid", "migration_type", "source_compute", "dest_compute", "deleted", "updated_at")
    yield change(live, database, "migrations", row, {"status": _end(row, server)}, guards)


def _end(row: Record, server: Record) -> str:
    if server["host"] == row["source_compute"]:
        return "error"
    if server["host"] == row["dest_compute"] and row["migration_type"] == "live-migration":
        return "completed"
    raise CannotRepair(
        f"server {server['uuid']} is on {server['host']}, and migration {row['id']} ({row['migration_type']}) went from"
        f" {row['source_compute']} to {row['dest_compute']}: find out where its disk is in use, and clean up the other"
    )


REPAIR = Repair(
    name="end-migration",
    risk=Risk.UNSAFE,
    why="if the guest is on the other host after all, no record in progress says so any more",
    checks=("migration-stuck",),
    codes=frozenset({"abandoned"}),
    unless=elsewhere,
    strategies={"db": db},
    no_api="Nova's API ends a migration only while its server is migrating",
)
