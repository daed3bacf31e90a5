# SPDX-License-Identifier: Apache-2.0
"""Clear the task_state of a server on which nobody works any more.

## What it does
Sets `instances.task_state` to NULL. Nothing else changes, not even the vm_state: a hard reboot, or a start, then sets
up the guest anew.

## Guards
The server has the same host, vm_state and task_state, has not been updated since the plan, and no migration of it is in
progress. nova-compute on its host has sent no heartbeat since the plan; a server without a host is offloaded, or in
error. Refused for an operation that may leave a disk half-written or the guest undefined (rebuild, rescue, shelve,
unshelve on a host, restore): nova-compute has to settle those when it starts. Consent is required by name: a
nova-compute that only lost its connection may still be working.

## Undo
The task_state is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.states import CUT_OFF
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Record, Risk, Step
from stackmend.repairs.common import at_rest, change, quiet, the_server
from stackmend.repairs.nova._relocation import silent
from stackmend.repairs.sighted import elsewhere


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if the task_state is no longer set."""
    found = _stuck(target, live)
    if found is None:
        return
    database, server = found
    if server["host"] is not None:
        yield from silent(live, database, str(server["host"]))
    guards = ("uuid", "deleted", "host", "vm_state", "updated_at")
    yield change(live, database, "instances", server, {"task_state": None}, guards)


def _stuck(target: Row, live: Live) -> tuple[str, Record] | None:
    """(database, row) of the server; None if its task_state is cleared."""
    database, server = the_server(target, live)
    name, task = server["uuid"], server["task_state"]
    if task is None:
        return None
    if task != target["task_state"]:
        raise CannotRepair(f"server {name} is {task} by now: audit again")
    if target.get("code") == "host-down" and server["vm_state"] != "error" and task not in CUT_OFF:
        raise CannotRepair(
            f"{task} may have left the guest or a disk of server {name} half-way: start nova-compute on"
            f" {server['host']}, which knows how far it came, before the state is reset"
        )
    if server["host"] is None and server["vm_state"] not in ("shelved_offloaded", "error"):
        raise CannotRepair(f"server {name} is {server['vm_state']} and has no host: repair that first")
    at_rest(live, database, name)
    quiet(live, database, name)
    return database, server


REPAIR = Repair(
    name="clear-task-state",
    risk=Risk.UNSAFE,
    why="a nova-compute that only lost its connection may still be working on the server",
    checks=("server-stuck-task-state",),
    codes=frozenset({"host-down", "no-host"}),
    unless=elsewhere,
    strategies={"db": db},
    no_api="os-resetState sets the vm_state as well: only in the row does it stay what it was",
)
