# SPDX-License-Identifier: Apache-2.0
"""End the inspection of a server's disks: restore the server's state, and unlock it.

## What it does
Reads what is to be done from the reason for which the server is locked, so it needs no journal, and works at whatever
point the inspection was interrupted. A server that was stopped is started, a server in rescue is taken out of it, and
the snapshot and the copy of a volume are deleted. The process that serves a disk ends with its reader; a libvirt backup
that is left over is ended, unless it is somebody else's.

## Guards
The server is locked by an inspection of stackmend's, and is idle.

## Undo
Locks the server again, and stops it if this run has started it.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import servers
from stackmend.cloud.inspections import inspection
from stackmend.hosts.inspection.inspecting import COPY, LIVE, OFFLINE
from stackmend.hosts.inspection.inspecting_rescue import RESCUE
from stackmend.hosts.inspection.inspecting_volume import SNAPSHOT
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.compute import Lock, Unlock
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Risk, Step
from stackmend.model.workflow import LaneDraft, Sight, Workflow

_METHODS = {one.name: one for one in (COPY, SNAPSHOT, OFFLINE, RESCUE, LIVE)}


def _lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    name = str(arguments["server"])
    server = servers.server(sight.api, name)
    if server is None:
        raise UsageError(f"there is no server {name}", "See 'openstack server list --all-projects'.")
    begun = inspection(server)
    if begun is None:
        raise CannotRepair(f"server {name} is under no inspection of stackmend: {server.locked_reason or 'not locked'}")
    if not server.idle:
        raise CannotRepair(f"server {name} is busy ({server.task_state}): try again later")
    if begun.method not in _METHODS:
        raise CannotRepair(f"server {name} is inspected by {begun.method}, which this version does not have")
    ending = _METHODS[begun.method].release(server, begun, sight)
    steps: list[Step] = list(ending.steps)
    lock = Lock(server=server.id, reason=begun.reason).call({"server": "present", "locked": False})
    steps.append(
        Unlock(server=server.id).call({"server": "present", "locked": True, "locked_reason": begun.reason}, lock)
    )
    yield LaneDraft(
        resource_type="server",
        resource_id=server.id,
        message=f"{ending.does}unlocked: {begun.reason}",
        steps=tuple(steps),
        slots=(f"from:{server.host}",),
        target=server.shown(),
        evidence=ending.evidence,
    )


WORKFLOW = Workflow(name="release-disk", risk=Risk.SAFE, lanes=_lanes)
