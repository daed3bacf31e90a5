# SPDX-License-Identifier: Apache-2.0
"""Make the disks of a server readable, with its owner's approval, until they are released.

## What it does
Records the approver and the ticket: in the journal, with the plan, and in Nova, as the reason for which the server is
locked. So the owner cannot start, stop or move the server meanwhile, and everybody can see why. Then `disk show`,
`disk ls`, `disk cat`, `disk copy-out` and `disk log` read its disks; they never write to them.

`disk release` ends the inspection. It needs no journal and works after any crash.

## Methods
The first method that is possible is chosen; the plan names those that were passed over, and why.

*offline*, if the server is off: its disks are files on its host (qcow2, raw), and nobody writes to them.
*copy*, if it is running: for each reading libvirt makes a point-in-time copy (pull-mode backup); the guest keeps
running.
*snapshot*, for a volume: Cinder makes a snapshot and from it a copy, which is attached read-only to a server of the
operator's (`--helper`) and read on that server's host.
*offline*, if it is running: the server is stopped, and is started again when it is released.
*rescue*: Nova boots another image (`--image`) with the disk attached; a human reads it there, and can write to it.
*live*, only if named and with `--consent live`: the disk is read while the guest writes to it, so what is read is torn.

Local disks in RBD or LVM can only be read in a rescue.

## Guards
The server is idle, not locked, and still on the same host. For its local disks: its directory is on that host, at least
one disk can be read, and the host has the programs that serve it. Before a disk is opened offline, it is locked with
QEMU's own protocol: a disk that a guest may write to is not read. A copy is begun only if there is free space for what
the guest overwrites meanwhile.

## Undo
Reverts what this run has done: the server is taken out of rescue, started again and unlocked.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import servers
from stackmend.cloud.inspections import OFF, Inspection, inspection
from stackmend.cloud.servers import Server
from stackmend.hosts.inspection.inspecting import COPY, LIVE, OFFLINE, Method, Prepared, seen
from stackmend.hosts.inspection.inspecting_rescue import RESCUE
from stackmend.hosts.inspection.inspecting_volume import SNAPSHOT
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.compute import Lock, LockSeen, Unlock
from stackmend.model.repair import CannotRepair
from stackmend.model.step import ApiCall, Risk
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: the gentlest first. Rescue comes after the others, because whoever is in it can write to the disk
_METHODS = (COPY, SNAPSHOT, OFFLINE, RESCUE, LIVE)


def _lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    server = _server(arguments, sight)
    method, prepared, passed = _chosen(server, arguments, sight)
    begun = Inspection.of(str(arguments["ticket"]), str(arguments["approved_by"]), server.vm_state, method.name)
    yield LaneDraft(
        resource_type="server",
        resource_id=server.id,
        message=f"locked, {prepared.does}: {begun.reason}",
        # lock first: whatever happens next, the reason says how to release the server
        steps=(_lock(server, begun), *prepared.steps),
        slots=(f"from:{server.host}",),
        target={**server.shown(), "ticket": begun.ticket, "approved_by": begun.approved_by, "method": method.name},
        evidence=(f"method {method.name}", *passed, *prepared.evidence, *_logs(method, sight)),
        why=prepared.why,
    )


def _logs(method: Method, sight: Sight) -> tuple[str, ...]:
    """What will become of dirty logs that only a kernel can replay."""
    missing, limit = sight.settings.get("hosts.libguestfs_missing"), sight.settings.get("hosts.libguestfs")
    if method is RESCUE or not limit:
        return ()
    if missing:
        return (f"XFS with a dirty log will be shown as it was before the crash: {missing}",)
    return (f"XFS with a dirty log will be replayed by libguestfs, in a copy: up to a minute, {limit} s at most",)


def _chosen(server: Server, arguments: Row, sight: Sight) -> tuple[Method, Prepared, list[str]]:
    """(the method, what it does, why others were passed over). CannotRepair if no method is possible."""
    asked = str(arguments.get("method") or "auto")
    if asked == LIVE.name and arguments.get("consent") != LIVE.name:
        raise UsageError(
            "method live reads a disk while its guest writes to it: what is read is torn",
            "Take 'copy' where the host can make one. To read it all the same: --method live --consent live.",
        )
    order = [one for one in _METHODS if asked in (one.name, "auto" if not one.by_name else "")]
    if server.vm_state in OFF:
        # nothing has to be done to the server for it
        order.sort(key=lambda one: one is not OFFLINE)
    passed: list[str] = []
    for one in order:
        try:
            if server.vm_state not in one.states:
                raise CannotRepair(f"the server is {server.vm_state}; it takes {' or '.join(sorted(one.states))}")
            return one, one.prepare(server, arguments, sight), passed
        except (CannotRepair, SourceError) as problem:
            why = f"{problem.message}. {problem.hint}".strip() if isinstance(problem, SourceError) else str(problem)
            passed.append(f"not by {one.name}: {why}")
    raise CannotRepair(f"the disks of server {server.id} cannot be inspected: {'; '.join(passed)}")


def _server(arguments: Row, sight: Sight) -> Server:
    """The server. CannotRepair if it is not idle or somebody has locked it."""
    name = str(arguments["server"])
    found = servers.server(sight.api, name)
    if found is None:
        raise UsageError(f"there is no server {name}", "See 'openstack server list --all-projects'.")
    if begun := inspection(found):
        raise CannotRepair(
            f"server {name} is under inspection already: ticket {begun.ticket}, approved by {begun.approved_by}."
            f" 'stackmend disk release {name}' ends it"
        )
    if found.locked:
        raise CannotRepair(f"server {name} is locked ({found.locked_reason or 'no reason is given'}): unlock it first")
    states = frozenset[str]().union(*(one.states for one in _METHODS))
    if not found.idle or found.vm_state not in states or not found.host:
        raise CannotRepair(
            f"server {name} is {found.vm_state}{f', {found.task_state}' if found.task_state else ''}: it is inspected"
            f" while it is {', '.join(sorted(states))} and nothing is under way"
        )
    if why := sight.api.lacks(Lock):
        raise CannotRepair(why)
    return found


def _lock(server: Server, begun: Inspection) -> ApiCall:
    unlock = Unlock(server=server.id).call({"server": "present", "locked": True, "locked_reason": begun.reason})
    free: LockSeen = {**seen(server), "locked": False, "locked_reason": None}
    return Lock(server=server.id, reason=begun.reason).call(free, unlock)


WORKFLOW = Workflow(
    name="inspect-disk",
    risk=Risk.UNSAFE,
    lanes=_lanes,
    why="nobody but an administrator can start, stop or move the server until it is released",
)
